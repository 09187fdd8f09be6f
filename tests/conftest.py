"""Shapes are checked; one cache of token streams, apart from the user's; one thread, as a trial has by default."""

import os
import tempfile
from collections.abc import Iterator

import pytest
import torch
from jaxtyping import install_import_hook
from unchecked import SWITCH

if SWITCH not in os.environ:
    install_import_hook("bitskip.ops", "beartype.beartype")  # shapes in signatures are checked in all tests


@pytest.fixture(scope="session", autouse=True)
def own_cache() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="bitskip-cache-") as folder:
        os.environ["BITSKIP_CACHE"] = folder
        yield


torch.set_num_threads(1)

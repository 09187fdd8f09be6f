"""One cache of token streams for the whole run, apart from the user's; one thread, as a trial has by default."""

import os
import tempfile
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def own_cache() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="bitskip-cache-") as folder:
        os.environ["BITSKIP_CACHE"] = folder
        yield


torch.set_num_threads(1)

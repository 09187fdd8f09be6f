"""Factors are declared in a process; every test is as in a new one."""

from collections.abc import Iterator

import pytest

from bitskip.store.foreign_metric import MEASURES
from bitskip.techniques import registry


@pytest.fixture(autouse=True)
def as_in_a_new_process() -> Iterator[None]:
    before = list(registry._named)
    registry._named.clear()
    registry.Table.clear()
    MEASURES.clear()
    yield
    registry._named[:] = before
    registry.Table.clear()

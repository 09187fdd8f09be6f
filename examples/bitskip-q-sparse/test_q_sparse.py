"""The contract of a technique, for this one (run after `pip install .`)."""

import pytest
from bitskip_q_sparse import ActivationSparsity

import bitskip.testing


@pytest.mark.parametrize("check", bitskip.testing.CHECKS)
def test_contract(check):
    check(ActivationSparsity, {"sparsity": 0.5, "bits": 4, "hadamard": True})

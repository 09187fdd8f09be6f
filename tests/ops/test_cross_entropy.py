"""Losses, gradients and choices of exits, made a chunk of rows at a time, against the whole logits."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bitskip.ops import cross_entropy
from bitskip.ops.conventions import IGNORED_TARGET
from bitskip.ops.cross_entropy import cross_entropies, largest, scores

WEIGHTS = (0.2, 0.0, 0.7)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def exits(dtype: torch.dtype = torch.float64) -> tuple[Tensor, list[tuple[Tensor, Tensor, float]]]:
    """A head for 70 tokens and three exits of 2 x 7 positions, a few of which do not count."""
    head = normal(70, 8, seed=9, dtype=dtype).requires_grad_()
    found = []
    for index, weight in enumerate(WEIGHTS):
        targets = torch.randint(0, 70, (2, 7), generator=torch.Generator().manual_seed(index))
        targets[index % 2, 4:] = IGNORED_TARGET
        found.append((normal(2, 7, 8, seed=index, dtype=dtype).requires_grad_(), targets, weight))
    return head, found


def whole(head: Tensor, found: list[tuple[Tensor, Tensor, float]], z_loss: float = 0.0) -> tuple[Tensor, Tensor]:
    losses, total = [], torch.zeros((), dtype=head.dtype)
    for state, targets, weight in found:
        logits = (state @ head.T).flatten(0, 1)
        losses.append(F.cross_entropy(logits, targets.flatten()))
        squares = logits.logsumexp(-1)[targets.flatten() != IGNORED_TARGET] ** 2
        total = total + weight * (losses[-1] + z_loss * squares.mean())
    return total, losses[-1]


@pytest.fixture(params=[1, 4, 512], ids="chunks of {}".format)
def rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(cross_entropy, "MIN_ROWS", request.param)
    monkeypatch.setattr(cross_entropy, "CHUNK_LOGITS", {"cpu": 1})
    return int(request.param)


@pytest.mark.parametrize("z_loss", [0.0, 0.1])
@pytest.mark.parametrize("of", ["total", "last", "both"])
def test_losses_and_gradients_are_those_of_the_whole_logits(rows: int, of: str, z_loss: float) -> None:
    """In fp64; the last loss alone can be differentiated too, and twice in turn."""
    results = []
    for function in (cross_entropies, whole):
        head, found = exits()
        total, last = function(head, found, z_loss)
        wanted = {"total": total, "last": last, "both": total + 3 * last}[of]
        states = [state for state, _, _ in found]
        gradients = torch.autograd.grad(wanted, [head, *states], retain_graph=True, materialize_grads=True)
        again = torch.autograd.grad(wanted, [head, *states], materialize_grads=True)
        assert all(torch.equal(one, other) for one, other in zip(gradients, again, strict=True))
        results.append([total, last, *gradients])
    for ours, theirs in zip(*results, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_transforms_of_functions_get_the_same() -> None:
    """torch.func differentiates and vectorises plain operations."""
    head, found = exits()
    expected = torch.autograd.grad(cross_entropies(head, found)[0], head)[0]
    with torch.no_grad():
        ours = torch.func.grad(lambda h: cross_entropies(h, found)[0])(head)
        heads = torch.stack([head, 2 * head])
        many = torch.func.vmap(lambda h: cross_entropies(h, found)[0])(heads)
    # The plain path takes its logits to fp32.
    assert torch.allclose(ours, expected, rtol=1e-5, atol=1e-6)
    assert many[1].item() == pytest.approx(cross_entropies(2 * head, found)[0].item(), rel=1e-6)


def test_half_precision_products_are_close_and_keep_types() -> None:
    head, found = exits(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        total, last = cross_entropies(head, found)
    total.backward()
    exact = whole(head, found)
    assert (total.dtype, last.dtype, head.grad.dtype) == (torch.float32,) * 3
    assert (total.item(), last.item()) == (
        pytest.approx(exact[0].item(), rel=0.01),
        pytest.approx(exact[1].item(), rel=0.01),
    )
    reference = torch.autograd.grad(exact[0], head)[0]
    assert (head.grad - reference).norm() < 0.02 * reference.norm()


def test_no_target_is_no_number_and_harms_no_other_exit() -> None:
    head, found = exits()
    found[0] = (found[0][0], torch.full_like(found[0][1], IGNORED_TARGET), 0.2)
    total, last = cross_entropies(head, found)
    assert total.isnan()
    assert last.item() == pytest.approx(whole(head, found)[1].item())


@pytest.mark.parametrize("z_loss", [0.0, 0.1])
def test_what_does_not_count_may_be_anything(z_loss: float) -> None:
    head, found = exits()
    expected = cross_entropies(head, found, z_loss)
    with torch.no_grad():
        found[2][0][0, 4:] = float("nan")
    assert torch.equal(torch.stack(cross_entropies(head, found, z_loss)), torch.stack(expected))


def test_the_penalty_under_a_transform_is_the_same() -> None:
    """torch.func takes another way through plain operations."""
    head, found = exits()
    expected = torch.autograd.grad(cross_entropies(head, found, 0.1)[0], head)[0]
    assert torch.allclose(torch.func.grad(lambda h: cross_entropies(h, found, 0.1)[0])(head), expected, rtol=1e-5)


def test_the_penalty_draws_the_softmax_denominator_to_one() -> None:
    """Alone, by gradient steps on the state: log Z goes to 0."""
    head, targets = normal(70, 8, seed=9), torch.zeros(1, 5, dtype=torch.long)
    state = normal(1, 5, 8, seed=1).requires_grad_()
    for _ in range(300):
        (step,) = torch.autograd.grad(cross_entropies(head, [(state, targets, 1.0)], 100.0)[0], state)
        state.data -= 1e-4 * step
    without = normal(1, 5, 8, seed=1)
    before, after = ((s @ head.T).logsumexp(-1).abs().mean() for s in (without, state.detach()))
    assert after < 0.8 * before


def test_scores_are_those_of_the_whole_logits(rows: int) -> None:
    head, found = exits()
    for state, targets, _ in found:
        logits = state @ head.T
        nll, choices, confidence = scores(head, state, targets)
        expected = [F.cross_entropy(own, of, reduction="sum").item() for own, of in zip(logits, targets, strict=True)]
        assert nll.sum(1).tolist() == pytest.approx(expected, rel=1e-12)
        assert torch.equal(choices, logits.argmax(-1))
        assert torch.allclose(confidence.double(), logits.softmax(-1).amax(-1))


@given(st.integers(1, 130), st.integers(0, 2**31), st.booleans())
def test_the_first_of_the_largest_is_found(width: int, seed: int, rounded: bool) -> None:
    """Rounded values have many ties; torch.argmax names the first of them on the CPU."""
    logits = normal(5, width, seed=seed, dtype=torch.float32)
    logits = logits.round() if rounded else logits
    top, index = largest(logits)
    assert torch.equal(top, logits.amax(-1, keepdim=True))
    assert index.tolist() == [row.index(max(row)) for row in logits.tolist()]

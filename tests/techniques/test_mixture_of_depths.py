"""Routing: who is picked in training and in evaluation, what passes, and that decoding sees what evaluation saw."""

import pytest
import torch

from bitskip.model.decoder import KeyValueCache, build_model
from bitskip.techniques.mixture_of_depths import MixtureOfDepths, router
from bitskip.testing import a_trial
from bitskip.trial.config import make_trial
from bitskip.trial.cost import estimate


def doubling(x: torch.Tensor, rotary: object, cache: object, attended: torch.Tensor) -> torch.Tensor:
    doubling.attended = attended
    return 2 * x


def test_training_picks_the_share_with_the_highest_scores() -> None:
    module = router(8, 0.25, 0).train()
    x = torch.randn(3, 16, 8, generator=torch.Generator().manual_seed(0))
    out = module(doubling, x, None)
    scores = module.score(x).squeeze(-1)
    moved = (out != x).any(-1)
    assert moved.sum(1).tolist() == [4, 4, 4]
    assert (scores[moved].view(3, 4).amin(1) >= scores.masked_fill(moved, -1e9).amax(1)).all()
    expected = x * (1 + torch.where(moved, scores.sigmoid(), 0.0)[..., None])
    assert torch.allclose(out, expected)
    assert torch.equal(doubling.attended, moved)
    assert module.router_loss.item() == pytest.approx(
        torch.nn.functional.binary_cross_entropy(scores.sigmoid(), moved.float()).item(), rel=1e-5
    )


def test_evaluation_picks_by_the_score_alone() -> None:
    module = router(8, 0.25, 0).eval()
    x = torch.randn(2, 9, 8, generator=torch.Generator().manual_seed(1))
    whole = module(doubling, x, None)
    parts = torch.cat([module(doubling, x[:, at : at + 1], None) for at in range(9)], 1)
    assert torch.allclose(whole, parts)
    assert torch.equal((whole != x).any(-1), module.score(x).squeeze(-1) > 0)


def test_attention_of_a_routed_block_leaves_out_what_was_not_picked() -> None:
    """What a token that is passed over carries cannot reach another one through its block."""
    model = build_model(a_trial(mod_capacity=0.5, mod_every=1, **{"model.layers": 1})).eval()
    tokens = torch.randint(257, (1, 12), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        picked = model.blocks[0].around[0].score(model.embedding(tokens)).squeeze(-1)[0] > 0
        passed = next(at for at in range(11) if not picked[at] and picked[at + 1 :].any())
        replaced = tokens.clone()
        others = [t for t in range(257) if model.blocks[0].around[0].score(model.embedding(torch.tensor([t]))) <= 0]
        replaced[0, passed] = next(t for t in others if t != tokens[0, passed])
        kept = [at for at in range(12) if at != passed]
        assert torch.equal(model(tokens)[0, kept], model(replaced)[0, kept])


def test_a_rolled_back_cache_forgets_who_was_picked() -> None:
    """Speculative decoding drafts, moves the cache back and goes on: the tokens are those of full decoding."""
    model = build_model(a_trial(mod_capacity=0.5)).eval()
    first, second = (torch.randint(257, (1, 8), generator=torch.Generator().manual_seed(s)) for s in (3, 4))
    with torch.no_grad():
        cache = KeyValueCache(model, 1, 8)
        model(first[:, :4], cache=cache)
        model(first[:, 4:], cache=cache)
        cache.length = 4
        again = model(second[:, 4:], cache=cache)
        assert torch.allclose(again, model(torch.cat([first[:, :4], second[:, 4:]], 1))[:, 4:], atol=1e-5)


def test_what_it_saves_is_counted() -> None:
    whole, half = (estimate(make_trial(mod_capacity=capacity, mod_every=1)).flops for capacity in (1.0, 0.5))
    head = 6.0 * make_trial().training.tokens * make_trial().data.vocab_size * make_trial().model.width
    assert (half - head) / (whole - head) == pytest.approx(0.5, rel=1e-2)
    assert MixtureOfDepths(0.5, 2).compute_share(make_trial().model) == pytest.approx(0.75)

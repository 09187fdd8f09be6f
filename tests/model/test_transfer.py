"""muP: initial scales and rates by width, by the table of the paper, and what of it does not act."""

from __future__ import annotations

import math

import pytest
import torch

from bitskip.model.decoder import Decoder, build_model
from bitskip.testing import a_trial, losses_of
from bitskip.training.trainer import optimizer_for
from bitskip.trial.config import TrialConfig

SIZES = {"layers": 2, "width": 128, "heads": 4, "kv_heads": 4, "ffn_width": 256}


def wide(**axes: object) -> TrialConfig:
    own = {"model": SIZES, "model.mup_base": 32, "exit_weight": 0.3, "exit_head": "own-head"}
    return a_trial(**{**own, **axes})


@pytest.mark.parametrize("init", ["normal", "fan-in"])
def test_initial_scales_are_those_of_the_base_width_times_the_tables_powers(init: str) -> None:
    """Table 8: variance 1 / inputs in blocks; of embedding and head the same at every width."""
    base = build_model(wide(**{"model.width": 32, "model.ffn_width": 64, "model.init": init}))
    model = build_model(wide(**{"model.init": init}))
    at_base = dict(base.named_parameters())
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            expected = 1 / 4 if name in ("norm.weight", "exit_norms.0.weight") else 1.0
            assert torch.equal(parameter, torch.full_like(parameter, expected)), name
            continue
        ratio = (parameter.std() / at_base[name].std()).item()
        assert ratio == pytest.approx(1 / 2 if name.startswith("blocks.") else 1.0, rel=0.08), name


def rates(trial: TrialConfig) -> dict[str, tuple[float, float]]:
    """(share of the rate, decay) by name."""
    model = build_model(trial)
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        names[parameter]: (group["share"], group["weight_decay"])
        for group in optimizer_for(model, trial.training).param_groups
        for parameter in group["params"]
    }


def test_rates_follow_the_table() -> None:
    found, plain = rates(wide()), rates(wide(**{"model.mup_base": 0}))
    for name, (share, decay) in found.items():
        narrowed = name.startswith(("norm.", "exit_norms.")) or (name.startswith("blocks.") and "norm" not in name)
        assert share == (1 / 4 if narrowed else 1.0), name
        assert plain[name] == (1.0, decay), name


def test_the_output_norm_stands_for_logits_times_base_over_width() -> None:
    """One step of Adam on the model of the paper's form, in which logits are multiplied, gives the same logits."""
    ids = torch.arange(16).view(2, 8)
    rate, share = 1e-3, 1 / 4

    def step(model: Decoder, gain: float, factor: float) -> torch.Tensor:
        with torch.no_grad():
            model.norm.weight.fill_(gain)
        one = {"params": [model.norm.weight], "lr": rate * gain}
        other = {"params": [model.head.weight], "lr": rate}
        optimizer = torch.optim.Adam([one, other], eps=0.0)
        (model(ids) * factor).logsumexp(-1).sum().backward()
        optimizer.step()
        return model(ids).detach() * factor

    ours, papers = (build_model(a_trial()).double() for _ in range(2))
    torch.testing.assert_close(step(ours, share, 1.0), step(papers, 1.0, share), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("axes", [{}, {"model.tie_embeddings": True}, {"model.init": "fan-in"}], ids=str)
def test_at_its_base_width_it_is_no_other_trial(axes: dict[str, object]) -> None:
    plain = a_trial(**axes)
    at_base = a_trial(**axes, **{"model.mup_base": plain.model.width})
    assert at_base.trial_id == plain.trial_id
    other = a_trial(**axes, **{"model.mup_base": plain.model.width // 2})
    assert other.trial_id != plain.trial_id
    assert losses_of(other) != losses_of(plain)


def test_what_blocks_give_moves_as_far_in_a_step_at_every_width() -> None:
    """At one rate it moves farther the wider the model; with muP as far (the paper's coordinate check)."""

    def moved(width: int, base: int) -> float:
        sizes = {"layers": 2, "width": width, "heads": width // 16, "kv_heads": width // 16, "ffn_width": 4 * width}
        trial = a_trial(model=sizes, **{"model.init": "fan-in", "model.mup_base": base, "lr": 1e-3})
        model = build_model(trial)
        optimizer = optimizer_for(model, trial.training)
        for group in optimizer.param_groups:
            group["lr"] *= group["share"]
        ids = torch.randint(200, (4, 16), generator=torch.Generator().manual_seed(0))
        *_, before = model.hidden_states(ids)
        for _ in range(3):
            optimizer.zero_grad()
            model.losses(ids, ids.roll(-1, 1), (0.0, 1.0))[0].backward()
            optimizer.step()
        *_, after = model.hidden_states(ids)
        return (after - before).std().item()

    growth = {base: math.log(moved(256, base) / moved(32, base)) / math.log(8) for base in (0, 32)}
    assert growth[0] > 0.3
    assert abs(growth[32]) < 0.05

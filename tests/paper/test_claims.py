"""Claims of the paper and causes of its numbers, on trials whose truth is known."""

import dataclasses
import math
import random

import pyarrow as pa
import pytest
from simulated_results import results_from, trial_row

from bitskip.analysis.factorial import strata
from bitskip.paper.attribution import ORDER, attributions, change
from bitskip.paper.claims import (
    CLAIMS,
    CONTRADICTED,
    NOT_MEASURED,
    SUPPORTED,
    UNRESOLVED,
    JudgedClaim,
    judged_claims,
    published_exit,
)
from bitskip.store.schema import arrow_schema
from bitskip.store.tables import Results
from bitskip.trial.config import POINTS, make_trial


def measured(losses: dict[str, list[float]], **extra: object) -> Results:
    """Named variants with a loss per seed."""
    rows = [
        trial_row(make_trial(**POINTS[name], seed=seed), loss, **extra)
        for name, values in losses.items()
        for seed, loss in enumerate(values)
    ]
    return results_from(rows)


def found(results: Results) -> dict[str, JudgedClaim]:
    return {each.claim: each for each in judged(results)}


def judged(results: Results) -> list[JudgedClaim]:
    exits, layers = {}, {}
    for table, by_trial in ((results.exits, exits), (results.layers, layers)):
        for row in table.to_pylist():
            by_trial.setdefault(row["trial_id"], []).append(row)
    return judged_claims(strata(results), exits, layers)


def test_verdicts_follow_from_interval_and_region() -> None:
    claims = found(
        measured({"baseline": [3.0, 3.1, 2.9], "V1": [2.9, 3.0, 2.8], "V2": [8.0, 8.1, 7.9], "V3": [2.9, 3.0, 2.8]})
    )
    better = claims["quantized-beats-full"]
    assert (better.verdict, better.seeds, len(better.trials)) == (SUPPORTED, 3, 6)
    assert better.value == pytest.approx(math.exp(-0.1))
    assert better.low == pytest.approx(better.value) == better.high
    assert claims["four-bit-hadamard-collapse"].verdict == SUPPORTED
    assert claims["hadamard-catastrophe"].verdict == CONTRADICTED
    assert claims["four-bit-above-eight"].verdict == CONTRADICTED
    assert (better.p_value, better.p_adjusted) == (pytest.approx(0, abs=1e-9), pytest.approx(0, abs=1e-9))
    assert claims["exit-cost"].verdict == NOT_MEASURED
    assert {claim.claim for claim in CLAIMS} == claims.keys()


def test_noise_and_single_seeds_decide_nothing() -> None:
    noisy = found(measured({"baseline": [3.0, 3.4, 2.6], "V1": [3.3, 2.9, 2.8]}))["quantized-beats-full"]
    assert noisy.verdict == UNRESOLVED
    assert noisy.low < 1 < noisy.high
    alone = found(measured({"baseline": [3.0], "V1": [2.0]}))["quantized-beats-full"]
    assert (alone.verdict, alone.low, alone.seeds) == (UNRESOLVED, None, 1)


def test_failed_trials_and_artefacts_are_no_evidence() -> None:
    losses = {"baseline": [3.0, 3.0], "V1": [2.0, 2.1]}
    assert found(measured(losses, status="diverged"))["quantized-beats-full"].verdict == NOT_MEASURED
    assert all(each.verdict == NOT_MEASURED for each in judged(measured(losses, artefact=True)))
    assert judged(results_from([])) == []


@pytest.mark.parametrize(("depth", "layer"), [(24, 18), (6, 4), (12, 9), (4, 3), (2, 1), (1, None)])
def test_the_published_exit_at_other_depths_is_never_deeper(depth: int, layer: int | None) -> None:
    assert published_exit(depth) == layer


def test_claims_are_corrected_together_and_a_search_of_the_rate_is_one_scale() -> None:
    source = random.Random(0)
    losses = {name: [3 - 0.05 * (name == "V1") + source.gauss(0, 0.02) for _ in range(4)] for name in POINTS}
    rows = [
        trial_row(make_trial(**POINTS[name], seed=seed, lr=rate), loss)
        for rate in (2e-3, 4e-3, 8e-3)
        for name, values in losses.items()
        for seed, loss in enumerate(values)
    ]
    found = judged(results_from(rows))
    assert len(found) == len(CLAIMS)
    tested = sorted(each.p_value for each in found if each.p_value is not None)
    better = next(each for each in found if each.claim == "quantized-beats-full")
    assert better.p_adjusted == pytest.approx(
        max((len(tested) - i) * p for i, p in enumerate(tested) if p <= better.p_value)
    )


def cosines(rows: list[dict[str, object]], of: dict[str, dict[str, float]]) -> Results:
    results = results_from(rows)
    layers = [
        {"trial_id": row["trial_id"], "step": step, "site": "head", **of[str(row["point"])]}
        for row in rows
        for step in (1, 2, 3)
    ]
    return dataclasses.replace(results, layers=pa.Table.from_pylist(layers, schema=arrow_schema("layers")))


def apart(shared: float, agreement: float, pairs: int = 4) -> dict[str, float]:
    """What batches share of one gradient, and the cosine that two gradients would have without their chance."""
    return {
        "exit_main_cosine": 0.99,
        "gradient_pairs": pairs,
        "exit_main_apart": shared * agreement,
        "main_main_apart": shared * 1.1,
        "exit_exit_apart": shared / 1.1,
    }


def of_two() -> list[dict[str, object]]:
    return [
        trial_row(make_trial(**POINTS[name], seed=seed), 3.0, point=name)
        for name in ("baseline", "V3")
        for seed in range(3)
    ]


def test_interference_is_what_the_same_losses_do_not_share_without_the_techniques() -> None:
    claim = found(cosines(of_two(), {"baseline": apart(0.8, 0.9), "V3": apart(0.8, 0.6)}))["gradients-interfere"]
    assert (claim.verdict, claim.value, claim.seeds) == (SUPPORTED, pytest.approx(-0.3), 3)


def test_noisier_gradients_are_no_interference() -> None:
    """V3's gradients share half as much between batches, and pull as much the same way as the baseline's."""
    claim = found(cosines(of_two(), {"baseline": apart(0.8, 0.9), "V3": apart(0.4, 0.9)}))["gradients-interfere"]
    assert claim.verdict == UNRESOLVED
    assert claim.value == pytest.approx(0.0)


@pytest.mark.parametrize("rows", [{"exit_main_cosine": 0.9}, apart(0.8, 0.6, pairs=2), apart(-0.1, 0.6)], ids=str)
def test_interference_is_not_judged_without_a_baseline_of_many_batches(rows: dict[str, float]) -> None:
    claim = found(cosines(of_two(), {"baseline": apart(0.8, 0.9), "V3": rows}))["gradients-interfere"]
    assert (claim.verdict, claim.value) == (NOT_MEASURED, None)
    assert claim.note.startswith("needs cosines between batches")


def audit() -> Results:
    """Log perplexity 3; the mask takes 2 off, initialisation adds .5, both together .2; the order adds 4."""
    changes = {
        (): 0.0,
        ("causal_mask",): -2.0,
        ("tiny_init",): 0.5,
        ("causal_mask", "tiny_init"): 0.2,
    }
    values = {"causal_mask": False, "tiny_init": True}
    rows = []
    for seed, shift in enumerate((0.0, 0.1, -0.1)):
        for names, effect in changes.items():
            artefacts = {name: values[name] for name in names}
            for variant, order in (("bitnet-v2", 0.0), ("as-published", 4.0)):
                axes = {**POINTS["V3"], "hadamard": variant, "artefacts": artefacts, "seed": seed}
                rows.append(trial_row(make_trial(**axes), 3.0 + effect + order + shift, artefact=bool(names)))
    return results_from(rows)


def test_causes_are_added_and_removed_alone() -> None:
    (told,) = attributions(strata(audit(), include_artefacts=True))
    assert (told.model, told.correct.ppl) == ("V3", pytest.approx(math.exp(3.0)))
    assert told.total.ratio == pytest.approx(math.exp(4.2))
    causes = {cause.defect: cause for cause in told.causes}
    assert causes.keys() == {"causal_mask: false", "tiny_init: true", ORDER}
    mask = causes["causal_mask: false"]
    assert mask.added.ratio == pytest.approx(math.exp(-2.0))
    assert mask.removed.ratio == pytest.approx(math.exp(0.2 - 0.5))
    assert causes[ORDER].added.ratio == pytest.approx(causes[ORDER].removed.ratio) == pytest.approx(math.exp(4.0))
    assert told.causes[0].defect == ORDER, "the largest first"
    assert mask.alone.seeds == mask.added.seeds == 3


def test_a_change_is_students_interval() -> None:
    assert change([]) is None
    assert change([0.3]) == type(told := change([0.3]))(told.ratio, None, None, 1)
    three = change([0.1, 0.2, 0.3])
    assert three.ratio == pytest.approx(math.exp(0.2))
    assert math.log(three.high) == pytest.approx(0.2 + 4.302653 * 0.1 / math.sqrt(3), abs=1e-5)


def test_failed_runs_are_counted() -> None:
    rows = [
        trial_row(
            make_trial(**POINTS["V1"], seed=seed, artefacts=artefacts), loss, status=status, artefact=bool(artefacts)
        )
        for seed in (0, 1)
        for artefacts, loss, status in (({}, 3.0, "ok"), ({"tiny_init": True}, None, "diverged"))
    ]
    (told,) = attributions(strata(results_from(rows), include_artefacts=True))
    assert (told.published.ppl, told.published.failed, told.total) == (None, 2, None)

"""Which seeds were added after a look, and what a verdict pays for them."""

import datetime

import numpy as np
import pytest
from simulated_results import grid, results_from, simulate, single_effects, trial_row

from bitskip import load_results, save_results
from bitskip.analysis.effects import composition_effects
from bitskip.analysis.factorial import strata
from bitskip.analysis.looks import added_seeds, price
from bitskip.trial.config import make_trial

CELLS = [{"bits": bits, "hadamard": h, "exit_weight": e} for bits in (16, 4) for h in (True, False) for e in (0.0, 0.3)]
BEGIN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def rows(seeds, begin=BEGIN, cells=CELLS, sweep="grid"):
    """A sweep that runs all seeds of a cell side by side, ten minutes each."""
    return [
        trial_row(
            make_trial(**cell, seed=seed), 3.0, sweep=sweep, started_at=begin + datetime.timedelta(minutes=10 * i)
        )
        for i, cell in enumerate(cells)
        for seed in seeds
    ]


def added(*parts):
    (stratum,) = strata(results_from([row for part in parts for row in part]))
    return added_seeds(stratum.cells)


def test_a_design_s_own_seeds_are_no_looks():
    assert added(rows((0, 1, 2))) == set()


def test_seeds_of_a_few_cells_are():
    assert added(rows((0, 1)), rows((2,), cells=CELLS[:4])) == {2}


def test_seeds_that_began_when_all_others_had_begun_are_whatever_their_sweep():
    later = BEGIN + datetime.timedelta(days=1)
    assert added(rows((0, 1)), rows((2, 3), later)) == {2, 3}
    assert added(rows((0, 1)), rows((2,), later, sweep="suggested")) == {2}
    assert added(rows((0, 1)), rows((1, 0), later, cells=[{"bits": 8}], sweep="more")) == set()


def test_rows_saved_together_are_one_design_and_those_saved_afterwards_are_not(tmp_path):
    first = [{**cell, "seed": seed, "loss": 3.0} for seed in (0, 1) for cell in CELLS]
    (stratum,) = strata(load_results(save_results(first, tmp_path)))
    assert added_seeds(stratum.cells) == set()
    later = [{**cell, "seed": 2, "loss": 3.0} for cell in CELLS]
    (stratum,) = strata(load_results(save_results(later, tmp_path)))
    assert added_seeds(stratum.cells) == {2}


def test_a_verdict_pays_for_every_added_seed():
    results = simulate(grid(bits=(16, 4), hadamard=("none", "bitnet-v2")), single_effects, seeds=4, random=3)
    plain = results.trials.to_pylist()
    late = [row | {"started_at": BEGIN + datetime.timedelta(days=row["seed"] > 1)} for row in plain]
    for one, other in zip(*(composition_effects(results_from(each)) for each in (plain, late)), strict=True):
        assert other.p_value == one.p_value
        assert other.p_adjusted == pytest.approx(min(1.0, one.p_adjusted * price(2) / price(0)))
    assert np.all(np.diff([price(looks) for looks in range(5)]) > 0)

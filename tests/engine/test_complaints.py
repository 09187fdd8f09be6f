"""What users of other sweep tools complain about, and what happens here instead. One test a complaint.

The seventh, sweeps that hang without a reason: `test_faults.test_a_hung_worker_is_ended_by_the_watchdog`.
"""

from pathlib import Path

from simulated_results import results_from, trial_row
from sweeping import TINY, by_seed, rows, sweep

from bitskip.report.summary import summarise
from bitskip.store.tables import load_results
from bitskip.sweep.sweep_file import load_sweep
from bitskip.trial.config import make_trial


def test_only_what_is_missing_or_failed_is_run_again(tmp_path: Path) -> None:
    """Resuming ran finished trials again, or forgot the failed ones."""
    first = sweep(tmp_path, "--executor", "inline", "--max-trials", "2")
    assert first.returncode == 0, first.stderr
    kept = {seed: row["started_at"] for seed, row in by_seed(tmp_path).items()}
    assert len(kept) == 2
    second = sweep(tmp_path, "--executor", "inline")
    assert "2 already in results" in second.stdout
    after = {seed: row["started_at"] for seed, row in by_seed(tmp_path).items()}
    assert len(after) == 4
    assert kept.items() <= after.items()


def test_axes_that_do_not_apply_are_not_crossed(tmp_path: Path) -> None:
    """Conditional axes were crossed all the same, and made the same trial many times."""
    file = tmp_path / "conditional.yaml"
    file.write_text(
        "name: c\nbase: {model: nano}\n"
        "space: {dropout: [none, quadratic], dropout_max: [0.1, 0.3, 0.5], hadamard: [none, bitnet-v2]}\n"
        "exclude: [{dropout: quadratic, hadamard: bitnet-v2}]\n"
    )
    design = load_sweep(file)
    assert len({(trial["dropout"], trial["dropout_max"]) for trial in design.trials}) == 4
    assert len(design.trials) == 3 + 2


def test_one_failure_neither_ends_nor_hides(tmp_path: Path) -> None:
    """One failing trial aborted the sweep, or was shown at the very end only."""
    done = sweep(tmp_path, "--executor", "inline", fault={"kind": "raise", "seeds": [1]})
    found = by_seed(tmp_path)
    assert done.returncode == 1
    assert [found[seed]["status"] == "error" for seed in sorted(found)] == [False, True, False, False]
    assert found[1]["reason"] in done.stdout


def test_no_trial_is_run_twice(tmp_path: Path) -> None:
    """Grids repeated cells: by equal settings in one sweep, or in two."""
    (tmp_path / "tiny.yaml").write_text(TINY.replace("seeds: 4", "seeds: 1\npoints: {same: {bits: 16}}"))
    first = sweep(tmp_path, "--executor", "inline")
    assert "2 points → 1 distinct" in first.stdout
    (tmp_path / "tiny.yaml").write_text(TINY.replace("name: tiny", "name: other").replace("seeds: 4", "seeds: 1"))
    again = sweep(tmp_path, "--executor", "inline")
    assert "0 to run" in again.stdout
    assert len(rows(tmp_path)) == 1


def test_spread_over_seeds_stands_beside_the_mean() -> None:
    """Tables had no standard deviation over seeds, or one of zero."""
    losses = (3.0, 3.1, 3.3)
    found = results_from([trial_row(make_trial(seed=seed), loss) for seed, loss in enumerate(losses)])
    (section,) = summarise(found).sections
    (standing,) = section.leaderboard
    assert standing.seeds == 3
    assert standing.ppl_sd is not None
    assert standing.ppl_sd > 1


def test_thousands_of_trials_are_read_from_few_files(tmp_path: Path) -> None:
    """Readers took minutes: a finished sweep of many trials is a few files, whatever it was before."""
    from bitskip.store.compaction import COMPACT_EVERY, compact_if_due
    from bitskip.store.tables import write_trial

    folder = tmp_path / "many"
    for seed in range(COMPACT_EVERY):
        write_trial(folder, trial_row(make_trial(seed=seed), 3.0))
    assert compact_if_due(folder) > 0
    assert len(list((folder / "trials").glob("*.parquet"))) == 1
    assert load_results(folder).trials.num_rows == COMPACT_EVERY

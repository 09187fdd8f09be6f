"""The predictor kept beside the results: valid for what it was made from, harmless everywhere else."""

import json
import os
import subprocess
import sys
import threading

import pytest
from simulated_results import FULL_GRID, exit_rows, grid, simulate, single_effects, trial_row, with_interactions

from bitskip.errors import UserError
from bitskip.predict.cache import FILE_NAME, fingerprint, keep, open_predictor
from bitskip.store.tables import write_trial
from bitskip.trial.config import make_trial

ASK = {"bits": 4, "hadamard": True, "exit_weight": 0.3}


def store(results, folder):
    exits = {}
    for row in results.exits.to_pylist():
        exits.setdefault(row.pop("trial_id"), []).append(row)
    for row in results.trials.to_pylist():
        write_trial(folder, row, exits[row["trial_id"]])


@pytest.fixture
def root(tmp_path):
    small = grid(bits=(16, 8, 4), hadamard=("none", "bitnet-v2"), exit_weight=(0.0, 0.3))
    store(simulate(small, with_interactions), tmp_path / "demo")
    return tmp_path


def asked(root, **axes):
    predictor, current = open_predictor(root)
    known = predictor.fitted
    prediction = predictor.predict(**(axes or ASK))
    if predictor.fitted > known:
        keep(predictor, root, current)
    return prediction, predictor.fitted > known


def test_the_second_ask_fits_nothing_and_answers_the_same(root):
    first, fresh = asked(root)
    again, fitted_again = asked(root)
    assert (fresh, fitted_again) == (True, False)
    assert again == first
    shallow, fitted_exit = asked(root, bits=4, exit_layer=2)
    assert fitted_exit
    assert asked(root, bits=4, exit_layer=2) == (shallow, False)
    assert asked(root) == (first, False)


def test_new_results_are_seen(root):
    before, _ = asked(root)
    trial = make_trial(bits=4, hadamard=True, exit_weight=0.3, seed=7)
    write_trial(root / "demo", trial_row(trial, 6.0), [{k: v for k, v in r.items() if k != "trial_id"}
                                                       for r in exit_rows(trial, 6.0)])  # fmt: skip
    after, fitted = asked(root)
    assert fitted
    assert after.mean > before.mean


@pytest.mark.parametrize("content", ["", "{", "[]", '{"fingerprint": 1}', "null", "\xff"])
def test_a_broken_file_is_replaced(root, content):
    first, _ = asked(root)
    (root / FILE_NAME).write_text(content, encoding="latin-1")
    assert asked(root) == (first, True)
    assert asked(root) == (first, False)


def test_a_file_with_the_right_fingerprint_and_wrong_content_is_replaced(root):
    first, _ = asked(root)
    stored = json.loads((root / FILE_NAME).read_text())
    stored["fits"]["surfaces"][0][1]["processes"][0] = {"parameters": "x", "warp": 0}
    (root / FILE_NAME).write_text(json.dumps(stored))
    assert asked(root) == (first, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_answered_from(root):
    root.chmod(0o555)
    try:
        first, _ = asked(root)
        assert asked(root) == (first, True)
    finally:
        root.chmod(0o755)


def test_where_nothing_can_be_written_nothing_is_left(root):
    (root / FILE_NAME).mkdir()  # replacing a folder by a file fails
    first, _ = asked(root)
    assert asked(root) == (first, True)
    assert sorted(path.name for path in root.iterdir()) == [FILE_NAME, "demo"]


def test_several_writers_leave_one_valid_file(root):
    expected, _ = asked(root)
    predictor, current = open_predictor(root)
    predictor.predict(**ASK)
    threads = [threading.Thread(target=lambda: [keep(predictor, root, current) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        assert asked(root)[0] == expected
    for thread in threads:
        thread.join()
    assert sorted(path.name for path in root.iterdir()) == [FILE_NAME, "demo"]
    assert asked(root) == (expected, False)


def test_a_trial_that_lands_while_fitting_makes_the_file_stale(root):
    predictor, current = open_predictor(root)
    predictor.predict(**ASK)
    write_trial(root / "demo", trial_row(make_trial(bits=8, seed=9), 5.0))
    keep(predictor, root, current)
    assert fingerprint(root) != current
    assert asked(root)[1]


def test_failed_trials_and_sizes_survive(tmp_path):
    trials = grid(bits=(16, 4), exit_weight=(0.0, 0.3), tokens=(1000, 2000, 4000))
    store(simulate(trials, single_effects), tmp_path / "demo")
    write_trial(tmp_path / "demo", trial_row(make_trial(bits=8, tokens=1000), None, status="diverged"))
    first, _ = asked(tmp_path, bits=4, tokens=2000)
    assert asked(tmp_path, bits=4, tokens=2000) == (first, False)


def test_no_results_folder_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        open_predictor(tmp_path / "missing")


def test_a_warm_answer_imports_nothing_heavy(tmp_path):
    store(simulate(grid(**FULL_GRID)[::3], with_interactions), tmp_path / "demo")
    asked(tmp_path)
    heavy = ("torch", "ray", "scipy", "pandas", "sklearn", "pyarrow")
    code = (
        "import sys; from pathlib import Path; from bitskip.predict.cache import open_predictor; "
        f"p, _ = open_predictor(Path({str(tmp_path)!r})); p.predict(bits=4, hadamard=True, exit_weight=0.3); "
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"

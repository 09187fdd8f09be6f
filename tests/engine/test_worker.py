"""A failure is a row: errors and time limits are stored with their reason."""

import time
from pathlib import Path

import pytest

from bitskip.engine import worker
from bitskip.engine.job import Job
from bitskip.engine.worker import run_job
from bitskip.errors import UserError
from bitskip.store.tables import load_results
from bitskip.techniques import registry
from bitskip.techniques.base import Technique
from bitskip.techniques.registry import PlugIn
from bitskip.trial.config import make_trial

TRIAL = make_trial(model={"layers": 1, "width": 32, "heads": 2, "kv_heads": 1, "ffn_width": 64})


def fail_with(error: Exception) -> object:
    def run(*_: object, **__: object) -> None:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "reason"),
    [(RuntimeError("out of memory\nmore"), "RuntimeError: out of memory"), (UserError("no text"), "no text")],
)
def test_an_exception_becomes_a_row_with_its_traceback_beside(
    error: Exception, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "run_trial", fail_with(error))
    run_job(Job(TRIAL, tmp_path, "s", point="p"))
    (row,) = load_results(tmp_path).trials.to_pylist()
    assert (row["status"], row["reason"], row["point"], row["loss"]) == ("error", reason, "p", None)
    assert "Traceback" in (tmp_path / "logs" / f"{TRIAL.trial_id}.log").read_text()


def test_a_trial_past_its_limit_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "run_trial", lambda *_, **__: time.sleep(30))
    row = run_job(Job(TRIAL, tmp_path, "s", time_limit=0.1))
    assert (row["status"], row["reason"]) == ("timeout", "longer than the limit of 0.1 s")


@pytest.mark.parametrize(("loaded", "told"), [((), None), (("b 1.2", "a 3"), "a 3, b 1.2")])
def test_a_row_says_which_plug_ins_were_loaded(
    loaded: tuple[str, ...], told: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "run_trial", fail_with(RuntimeError("x")))
    monkeypatch.setattr(registry, "_named", [PlugIn(Technique, *name.split()) for name in loaded])
    run_job(Job(TRIAL, tmp_path, "s"))
    assert load_results(tmp_path).trials["plugins"].to_pylist() == [told]


def test_a_gpu_that_is_not_there_is_an_error_and_no_silent_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    row = run_job(Job(TRIAL, tmp_path, "s", device="cuda"))
    assert row["status"] == "error"
    assert "a GPU that torch does not see" in row["reason"]


def test_a_time_limit_is_known_under_what_wraps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the compiler wraps whatever is raised while it compiles."""

    def compiling(*_: object, **__: object) -> None:
        try:
            time.sleep(5)
        except Exception as error:
            raise RuntimeError("backend='inductor' raised") from error

    monkeypatch.setattr(worker, "run_trial", compiling)
    assert run_job(Job(TRIAL, tmp_path, "s", time_limit=0.1))["status"] == "timeout"

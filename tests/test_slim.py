"""The core stands alone: what reads results, plans and answers needs no package of an extra, and the rest names it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bitskip.extras import EXTRA_OF

ROOT = Path(__file__).parent.parent
AUDIT, GRID = (str(ROOT / "results" / "reference" / name) for name in ("audit", "grid"))
QUICKSTART = str(ROOT / "sweeps" / "quickstart.yaml")
TRIAL = "007821470cce"


@pytest.fixture(scope="module")
def slim(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which no package of an extra, and nothing that only these bring, can be imported."""
    folder = tmp_path_factory.mktemp("slim")
    absent = {*EXTRA_OF, "pandas", "transformers", "fsspec", "sympy", "networkx"}
    (folder / "sitecustomize.py").write_text(
        f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""
    )
    paths = os.pathsep.join((str(folder), str(ROOT)))
    return {**os.environ, "PYTHONPATH": paths, "XDG_CACHE_HOME": str(folder), "HERE": str(folder)}


def run(slim: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bitskip", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=slim, cwd=slim["HERE"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["report", AUDIT], "published"),
        (["predict", "--bits", "4", "--hadamard", "--results", GRID], "90% interval"),
        (["predict", "--results", GRID], "What can be asked"),
        (["explain", "bits", "4", "x", "hadamard", "--results", GRID], "composition effect"),
        (["suggest", "-n", "2", "--results", GRID], "bitskip sweep"),
        (["sweep", QUICKSTART, "--dry-run"], "at an assumed"),
        (["show", TRIAL, "--results", AUDIT], "run again"),
        (["watch", AUDIT, "--once"], "144/144"),
        (["axes"], "dropout_max"),
        (["doctor", AUDIT], "117 ok"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_the_core_answers(slim: dict[str, str], arguments: list[str], told: str) -> None:
    done = run(slim, *arguments)
    assert done.returncode == 0, done.stderr
    assert told in done.stdout


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["sweep", QUICKSTART], "train"),
        (["train"], "train"),
        (["generate", TRIAL, "--prompt", "a", "--results", AUDIT], "train"),
        (["export", TRIAL, "a.safetensors", "--results", AUDIT], "train"),
        (["report", AUDIT, "--html", "a.html"], "figures"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_needs_an_extra_names_it(slim: dict[str, str], arguments: list[str], extra: str) -> None:
    done = run(slim, *arguments)
    assert done.returncode == 2
    assert f"pip install 'bitskip[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_functions_of_an_extra_name_it(slim: dict[str, str]) -> None:
    code = "import bitskip; bitskip.load_results; bitskip.build_model"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=slim)
    assert "bitskip.build_model: this needs torch" in done.stderr


def test_a_sweep_without_ray_runs_in_its_process_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bitskip.engine import executors
    from bitskip.engine.executors.inline import Inline
    from bitskip.errors import UserError

    monkeypatch.setattr("bitskip.extras.installed", lambda package: package != "ray")
    monkeypatch.setattr(executors, "installed", lambda package: package != "ray")
    assert isinstance(executors.open_executor(None), Inline)
    assert "bitskip[ray]" in capsys.readouterr().err
    for asked in (("ray", None), (None, "auto")):
        with pytest.raises(UserError, match=r"bitskip\[ray\]"):
            executors.open_executor(*asked)

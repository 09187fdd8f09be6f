"""Techniques from elsewhere: found by entry point and by name, in every process; wrong ones are named in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "bitskip-q-sparse"

TECHNIQUE = """
from dataclasses import dataclass
import bitskip

@dataclass(frozen=True)
class Added(bitskip.Technique):
    {axis}: float = bitskip.axis(0.0, "an axis", low=0.0)
    {more}
"""


def package(site: Path, name: str, module: str, target: str = "Added") -> None:
    """An installed package, as importlib.metadata sees it, with one entry point."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[bitskip.techniques]\nadded = {name}:{target}\n")
    (site / f"{name}.py").write_text(module)


def run(site: Path, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [str(Path(sys.executable).with_name("bitskip")), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}, cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip


def refused(found: subprocess.CompletedProcess[str], *words: str) -> None:
    """One line of cause and cure, exit status 2."""
    assert found.returncode == 2, found.stderr
    assert found.stderr.count("\n") == 1, found.stderr
    for word in words:
        assert word in found.stderr


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, installed by pip into a folder of its own."""
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", site]
    subprocess.run([*pip, EXAMPLE], check=True, capture_output=True)
    return site


def test_an_installed_package_is_found(example: Path) -> None:
    listed = {each["axis"]: each for each in json.loads(run(example, "axes", "--json").stdout)}
    assert listed["sparsity"]["from"] == "bitskip-q-sparse 0.1.0"
    assert "sparsity" not in {each["axis"] for each in json.loads(run(example / "none", "axes", "--json").stdout)}


@pytest.mark.slow
def test_its_own_tests_pass(example: Path) -> None:
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", EXAMPLE / "test_q_sparse.py"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(example), os.environ.get("PYTHONPATH", "")])}
    found = subprocess.run(tests, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


SWEEP = """
name: sparse
base: {{model: {{layers: 2, width: 32, heads: 2, kv_heads: 1, ffn_width: 64}}, data.tokenizer: bytes, tokens: 2048,
  seq_len: 32, batch_size: 8, eval_tokens: 256, curve_tokens: 256, curve_points: 1, diagnostic_points: 0}}
space: {{{space}, bits: [16, 8]}}
seeds: 1
{more}
"""


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_workers_train_with_it_and_rows_carry_its_name(example: Path, tmp_path: Path, executor: str) -> None:
    file = tmp_path / "sparse.yaml"
    file.write_text(SWEEP.format(space="sparsity: [0.0, 0.5]", more=""))
    results = tmp_path / "results"
    found = run(example, "sweep", file, "--results", results, "--executor", executor)
    assert found.returncode == 0, found.stdout + found.stderr
    code = (
        "import bitskip, json, sys; rows = bitskip.load_results(sys.argv[1]).trials.to_pylist();"
        "print(json.dumps([[r['sparsity'], r['bits'], r['loss'], r['plugins']] for r in rows]))"
    )
    path = os.pathsep.join([str(example), os.environ.get("PYTHONPATH", "")])
    read = subprocess.run(
        [sys.executable, "-c", code, results], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    rows = json.loads(read.stdout)
    assert {plugins for *_, plugins in rows} == {"bitskip-q-sparse 0.1.0"}
    assert len({loss for *_, loss, _ in rows}) == 4  # each combination trained in its own way
    report = run(example, "report", results, "--csv", tmp_path / "csv")
    assert report.returncode == 0, report.stderr
    # Where the package is not there, results that it made are named and not guessed.
    refused(run(example / "none", "report", results), "bitskip-q-sparse 0.1.0", "install")


@pytest.mark.slow
def test_a_module_named_in_the_sweep_file_is_imported_by_workers(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        TECHNIQUE.format(
            axis="shift", more="def linear(self, layer): return bitskip.LinearOps(output=(Add(self.shift),))"
        )
        + "\n@dataclass(frozen=True)\nclass Add:\n    by: float\n    def __call__(self, x): return x + self.by\n"
    )
    file = tmp_path / "mine.yaml"
    file.write_text(SWEEP.format(space="shift: [0.0, 0.5]", more="plugins: [mine]"))
    for executor in ("inline", "ray"):
        found = run(tmp_path, "sweep", file, "--results", tmp_path / executor, "--executor", executor)
        assert found.returncode == 0, found.stdout + found.stderr
        report = run(tmp_path, "report", tmp_path / executor, "--json")
        assert "shift 0.5" in report.stdout, report.stderr


def test_a_module_that_cannot_be_imported(tmp_path: Path) -> None:
    package(tmp_path, "broken", "import no_such_module")
    refused(run(tmp_path, "axes"), "broken", "no_such_module", "pip uninstall broken")


def test_an_entry_point_that_is_not_there(tmp_path: Path) -> None:
    package(tmp_path, "absent", TECHNIQUE.format(axis="shift", more=""), target="NotThere")
    refused(run(tmp_path, "axes"), "absent", "NotThere", "pip uninstall absent")


def test_an_entry_point_that_is_no_technique(tmp_path: Path) -> None:
    package(tmp_path, "other", "Added = 3")
    refused(run(tmp_path, "axes"), "other", "no subclass of bitskip.Technique")


def test_two_packages_with_one_axis(tmp_path: Path) -> None:
    for name in ("first", "second"):
        package(tmp_path, name, TECHNIQUE.format(axis="shift", more=""))
    refused(run(tmp_path, "axes"), "'shift'", "first 1.0", "second 1.0", "leave one of them out")


def test_an_axis_that_bitskip_has(tmp_path: Path) -> None:
    package(tmp_path, "clash", TECHNIQUE.format(axis="lr", more=""))
    refused(run(tmp_path, "axes"), "'lr'", "clash 1.0", "bitskip's recipe")


def test_a_canonical_form_that_is_not_idempotent(tmp_path: Path) -> None:
    halves = "def canonical(self, trial): return type(self)(self.shift / 2 if self.shift > 0.1 else 0.0)"
    package(tmp_path, "halving", TECHNIQUE.format(axis="shift", more=halves))
    refused(run(tmp_path, "train", "--set", "shift=0.8"), "halving 1.0", "not idempotent")


def test_the_reference_results_stay_done(example: Path, tmp_path: Path) -> None:
    """With an axis more in every trial, nothing is to run again."""
    design = Path(__file__).parents[2] / "results" / "reference" / "rotation_sites" / "sweep.yaml"
    found = run(example, "sweep", design, "--results", design.parents[1], "--dry-run", "--json")
    plan = json.loads(found.stdout)
    assert (plan["to_run"], plan["done"] > 0) == (0, True), found.stdout[:500]


TWO = """
from dataclasses import dataclass
import bitskip

@dataclass(frozen=True)
class Op:
    square: bool
    def __call__(self, x): return x * x if self.square else x + 0.5

@dataclass(frozen=True)
class Added(bitskip.Technique):
    {axis}: bool = bitskip.axis(False, "an axis")
    def linear(self, layer): return bitskip.LinearOps(output=(Op({square}),) if self.{axis} else ())
"""


def test_the_order_in_which_plug_ins_are_named_does_not_matter(tmp_path: Path) -> None:
    """Ops do not commute, ids do not know an order: there is only one."""
    (tmp_path / "pa.py").write_text(TWO.format(axis="squares", square=True))
    (tmp_path / "pb.py").write_text(TWO.format(axis="shifts", square=False))
    code = (
        "import sys; from bitskip.techniques.registry import load_plugins; load_plugins(sys.argv[1:]);"
        "from bitskip.testing import a_trial, losses_of; t = a_trial(squares=True, shifts=True);"
        "print(t.trial_id, losses_of(t))"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    told = [
        subprocess.run([sys.executable, "-c", code, *names], env=os.environ | {"PYTHONPATH": path}, check=True,
                       capture_output=True, text=True).stdout
        for names in (("pa", "pb"), ("pb", "pa"))
    ]  # fmt: skip
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ('threads: int = bitskip.axis(1, "x")', ("threads", "column of the results")),
        ('model: int = bitskip.axis(1, "x")', ("'model'", "group of axes")),
        ('shift: list = bitskip.axis(1, "x")', ("shift", "int, float, bool, str")),
        ('shift: float = bitskip.axis(0.0, "x")\n    hidden: int = 3', ("hidden", "no axis")),
    ],
    ids=str,
)
def test_fields_that_can_be_no_axis(tmp_path: Path, fields: str, words: tuple[str, ...]) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\nimport bitskip\n@dataclass(frozen=True)\n"
        f"class Added(bitskip.Technique):\n    {fields}\n"
    )
    file = tmp_path / "mine.yaml"
    file.write_text(SWEEP.format(space="hadamard: [none]", more="plugins: [mine]"))
    refused(run(tmp_path, "sweep", file, "--results", tmp_path / "results", "--dry-run"), *words)


def test_canonical_forms_that_chase_each_other(tmp_path: Path) -> None:
    forms = {"first": "1.0 if trial['second'] == 0.0 else 0.0", "second": "trial['first']"}
    for name, form in forms.items():
        more = f"def canonical(self, trial): return type(self)({form})"
        package(tmp_path, name, TECHNIQUE.format(axis=name, more=more))
    refused(run(tmp_path, "train", "--set", "first=1.0"), "first 1.0", "second 1.0", "for ever")


def test_two_techniques_that_weigh_the_exits(tmp_path: Path) -> None:
    more = "def loss_weights(self, layers, moment): return (0.0,) * (layers - 1) + (0.5,) if self.shift else None"
    package(tmp_path, "weigher", TECHNIQUE.format(axis="shift", more=more))
    refused(run(tmp_path, "train", "--set", "shift=1", "--set", "exit_weight=0.3"), "weights of the exits", "off")


def test_saved_results_name_their_plug_ins(tmp_path: Path) -> None:
    package(tmp_path / "site", "shifting", TECHNIQUE.format(axis="shift", more=""))
    code = (
        "import bitskip, sys; rows = [{'shift': s, 'seed': n, 'loss': 3.0 + s} for s in (0, 1) for n in (0, 1)];"
        "bitskip.save_results(rows, sys.argv[1])"
    )
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    results = tmp_path / "results" / "mine"
    subprocess.run([sys.executable, "-c", code, results], env=os.environ | {"PYTHONPATH": path}, check=True)
    refused(run(tmp_path / "none", "report", results), "2 trials", "shifting 1.0", "install")
    # In another version its axis may mean another thing, or be gone.
    package(tmp_path / "other", "shifting", TECHNIQUE.format(axis="shifts", more=""))
    info = tmp_path / "other" / "shifting-1.0.dist-info" / "METADATA"
    info.write_text(info.read_text().replace("Version: 1.0", "Version: 2.0"))
    refused(run(tmp_path / "other", "report", results), "shifting 1.0", "shifting 2.0 is")

"""The whole instrument through the installed command: sweep, resume, interrupt, report, predict, show, mistakes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open

from bitskip.store.tables import load_results

BITSKIP = Path(sys.executable).with_name("bitskip")
ROOT = Path(__file__).parent.parent
SWEEP = """
name: tiny
description: "[bold]markup[/bold] stays text"
base:
  model: {layers: 2, width: 32, heads: 2, kv_heads: 1, ffn_width: 64}
  data: {tokenizer: bytes}
  tokens: 16_000
  seq_len: 32
  batch_size: 8
  lr: 1e-2
  eval_tokens: 2_000
  curve_tokens: 500
  curve_points: 2
space:
  bits: [16, 8, 4]
  hadamard: [none, bitnet-v2]
  exit_weight: [0.0, 0.3]
points: {V1: {bits: 8, exit_weight: 0.3}}
exclude: [{bits: 16, hadamard: bitnet-v2}]
seeds: 2
"""
INLINE = ("--executor", "inline")
"""Where it does not matter what runs the trials: starting Ray takes longer than they do."""


def bitskip(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [str(BITSKIP), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


def ok(*arguments: object) -> str:
    done = bitskip(*arguments)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """(sweep file, results folder, what the first run printed)."""
    folder = tmp_path_factory.mktemp("swept")
    file, results = folder / "tiny.yaml", folder / "results"
    file.write_text(SWEEP)
    return file, results, ok("sweep", file, "--results", results)


@pytest.mark.slow
def test_sweep_stores_every_trial(swept: tuple[Path, Path, str]) -> None:
    _, results, printed = swept
    assert "26 points → 20 distinct → 0 already in results → 20 to run" in printed
    assert "4 excluded by {bits: 16, hadamard: bitnet-v2}" in printed
    assert "[bold]markup[/bold]" in printed
    found = load_results(results)
    rows = found.trials.to_pylist()
    assert len(rows) == 20
    assert {row["status"] for row in rows} <= {"ok", "stalled"}
    assert {row["point"] for row in rows} == {None, "V1"}
    assert len(found.exits) == 40
    assert len(found.curves) == 40
    assert found.problems == []
    assert all(row["params"] > 0 and row["peak_memory_bytes"] > 0 and row["versions"] for row in rows)
    assert (results / "tiny" / "sweep.yaml").exists()


@pytest.mark.slow
def test_the_same_command_runs_nothing_and_an_added_level_only_the_difference(swept: tuple[Path, Path, str]) -> None:
    file, results, _ = swept
    assert "20 already in results → 0 to run" in ok("sweep", file, "--results", results)
    larger = json.loads(
        ok("sweep", file, "--results", results, "--set", "space.bits=[16,8,4,6]", "--dry-run", "--json")
    )
    assert (larger["done"], larger["to_run"]) == (20, 8)
    elsewhere = ok("sweep", file, "--results", results, "--set", "name=other", "--dry-run")
    assert "20 already in results → 0 to run" in elsewhere


@pytest.mark.slow
def test_a_trial_is_the_same_in_and_outside_the_sweep(swept: tuple[Path, Path, str], tmp_path: Path) -> None:
    _, results, _ = swept
    expected = next(row for row in load_results(results).trials.to_pylist() if row["bits"] == 4 and row["seed"] == 1)
    settings = ["model={layers: 2, width: 32, heads: 2, kv_heads: 1, ffn_width: 64}", "data.tokenizer=bytes",
                "tokens=16_000", "seq_len=32", "batch_size=8", "lr=1e-2", "eval_tokens=2_000", "curve_tokens=500",
                "curve_points=2", "bits=4", "seed=1", f"hadamard={expected['hadamard']}",
                f"exit_weight={expected['exit_weight']}"]  # fmt: skip
    printed = ok("train", "--json", "--results", tmp_path, *[word for s in settings for word in ("--set", s)])
    row = json.loads(printed)
    assert row["trial_id"] == expected["trial_id"]
    assert row["loss"] == expected["loss"]


@pytest.mark.slow
def test_report_and_its_json(swept: tuple[Path, Path, str]) -> None:
    _, results, _ = swept
    printed = ok("report", results, "--full")
    assert "V1" in printed
    assert "tiny" in printed
    assert json.loads(ok("report", results, "--json"))


@pytest.mark.slow
def test_predict_answers_with_the_contract(swept: tuple[Path, Path, str]) -> None:
    _, results, _ = swept
    answer = json.loads(ok("predict", "--bits", 4, "--hadamard", "--results", results, "--json"))
    assert {"metric", "mean", "low", "high", "level", "exit_layer", "speed_gain", "divergence_risk", "configuration",
            "assumed", "baseline", "main_effects", "composition_effects", "nearest", "extrapolation",
            "model"} <= set(answer)  # fmt: skip
    assert answer["low"] < answer["mean"] < answer["high"]
    assert answer["level"] == 0.9
    assert answer["configuration"]["bits"] == 4
    assert answer["configuration"]["hadamard"] == "bitnet-v2"
    assert {"kind", "loco_r2", "loco_mae_percent", "coverage", "trials", "configurations", "scale"} <= set(
        answer["model"]
    )
    printed = ok("predict", "--bits", 4, "--hadamard", "--exit-layer", 1, "--results", results)
    assert "90 % interval" in printed or "90% interval" in printed
    outside = bitskip("predict", "--bits", 2, "--results", results)
    assert outside.returncode == 2
    assert "--force" in outside.stderr
    assert "ppl" in ok("predict", "--bits", 2, "--results", results, "--force")


@pytest.mark.slow
def test_suggest_writes_a_sweep_that_runs_exactly_what_it_names(swept: tuple[Path, Path, str], tmp_path: Path) -> None:
    _, results, _ = swept
    file = tmp_path / "next.yaml"
    answer = json.loads(ok("suggest", "-n", 3, "--results", results, "--output", file, "--json"))
    assert len(answer["trials"]) == 3
    found = set()
    for path in answer["files"]:
        plan = json.loads(ok("sweep", path, "--results", results, "--dry-run", "--json"))
        assert (plan["to_run"], plan["done"]) == (plan["distinct"], 0)
        found |= {trial["trial_id"] for trial in plan["trials"]}
    assert found == {trial["trial_id"] for trial in answer["trials"]}
    assert f"bitskip sweep {file}" in ok("suggest", "-n", 3, "--results", results, "--output", file)


@pytest.mark.slow
def test_suggest_leaves_out_a_sweep_whose_text_is_elsewhere(swept: tuple[Path, Path, str], tmp_path: Path) -> None:
    results = tmp_path / "results"
    shutil.copytree(swept[1], results)
    shutil.copytree(results / "tiny", results / "other")
    (results / "other" / "sweep.yaml").write_text("base: {data: {files: [gone.txt]}}\nspace: {bits: [8]}\n")
    done = bitskip("suggest", "-n", 2, "--results", results, "--output", tmp_path / "next.yaml")
    assert done.returncode == 0, done.stderr
    assert "left out of the space" in done.stderr
    assert "no such file: gone.txt" in done.stderr


@pytest.mark.slow
def test_precisions_at_rates_of_their_own_are_compared(tmp_path: Path) -> None:
    file, results = tmp_path / "rates.yaml", tmp_path / "results"
    space = SWEEP.index("space:")
    file.write_text(SWEEP[:space] + "space: {bits: [16, 8]}\ntuned: {lr: [{bits: 16, use: 2e-2}]}\nseeds: 2\n")
    assert "lr tuned by configuration: 0.01 in 1, 0.02 in 1 of them" in ok(
        "sweep", file, "--dry-run", "--results", results
    )
    ok("sweep", file, "--results", results, *INLINE)
    (section,) = json.loads(ok("report", results, "--json"))["sections"]
    assert len(section["main_effects"]) >= 1
    rows = load_results(results).trials.to_pylist()
    assert {(row["bits"], row["lr"], row["tuned"]) for row in rows} == {(16, 2e-2, "lr"), (8, 1e-2, "lr")}


@pytest.mark.slow
def test_show_prints_one_trial(swept: tuple[Path, Path, str]) -> None:
    _, results, _ = swept
    trial_id = load_results(results).trials["trial_id"][0].as_py()
    assert json.loads(ok("show", trial_id[:10], "--results", results, "--json"))["trial_id"] == trial_id
    assert "exit_layer=1" in ok("show", trial_id, "--results", results)
    assert bitskip("show", "zzzz", "--results", results).returncode == 2


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(swept: tuple[Path, Path, str], tmp_path: Path) -> None:
    file, _, _ = swept
    longer = ("--set", "base.tokens=32000")
    command = [str(BITSKIP), "sweep", str(file), "--results", str(tmp_path), *longer]
    # Workers get Ctrl-C from a terminal too: a group of its own, as a shell makes one.
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               start_new_session=True)  # fmt: skip
    assert running.stdout is not None
    while "[3/20]" not in running.stdout.readline():
        assert running.poll() is None
    seen = json.loads(ok("watch", tmp_path, "--once", "--json"))
    assert seen["alive"]
    assert seen["counts"]["running"] + seen["counts"]["done"] + seen["counts"]["stalled"] > 3
    os.killpg(running.pid, signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130, errors
    assert "Traceback" not in errors
    kept = len(load_results(tmp_path).trials)
    assert kept >= 3
    assert "No sweep is running here. To go on:" in ok("watch", tmp_path, "--once")
    printed = ok("sweep", file, "--results", tmp_path, *longer, "--dry-run")
    assert f"{kept} already in results → {20 - kept} to run" in printed


TRAIN = (
    "--set=model={layers: 2, width: 32, heads: 2, kv_heads: 1, ffn_width: 64}", "--set=data.tokenizer=bytes",
    "--set=seq_len=32", "--set=batch_size=8", "--set=eval_tokens=2000", "--set=curve_points=5",
)  # fmt: skip


@pytest.mark.slow
def test_a_killed_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    techniques = ("--set=bits=4", "--set=hadamard=true", "--set=dropout=quadratic", "--set=exit_weight=0.3")
    arguments = ("train", *TRAIN, *techniques, "--set=tokens=51_200", "--checkpoint-seconds=0")
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen([str(BITSKIP), *arguments, "--results", str(killed)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("step 40/200"):  # lines on preparing the text come before
        assert process.poll() is None
    process.kill()
    process.communicate()
    (checkpoint,) = (killed / "train" / "checkpoints").glob("*.safetensors")
    ok(*arguments, "--results", killed)
    ok(*arguments, "--results", whole)
    assert not checkpoint.exists()
    resumed, uninterrupted = load_results(killed), load_results(whole)
    (row,) = resumed.trials.to_pylist()
    assert row["resumed_at_step"] >= 39
    assert uninterrupted.trials["resumed_at_step"].to_pylist() == [None]
    for column in ("loss", "bpb", "last_finite_loss", "tokens_trained"):
        assert resumed.trials[column] == uninterrupted.trials[column]
    assert resumed.curves == uninterrupted.curves
    assert resumed.exits["loss"] == uninterrupted.exits["loss"]


@pytest.mark.slow
def test_weights_are_kept_and_exported(tmp_path: Path) -> None:
    printed = ok("train", *TRAIN, "--set=bits=8", "--set=tokens=8000", "--results", tmp_path, "--json")
    row = json.loads(printed)
    ok("export", row["trial_id"][:8], tmp_path / "w.safetensors", "--results", tmp_path)
    with safe_open(tmp_path / "w.safetensors", "pt") as stored:
        tensors = [stored.get_tensor(name) for name in stored.keys()]  # noqa: SIM118 (no mapping)
    assert sum(t.numel() * t.element_size() for t in tensors) == row["weight_bytes"]
    onto_a_folder = bitskip("export", row["trial_id"], tmp_path, "--results", tmp_path)
    assert (onto_a_folder.returncode, "Traceback" in onto_a_folder.stderr) == (2, False)
    assert "cannot be written" in onto_a_folder.stderr
    refused = bitskip("export", row["trial_id"], tmp_path / "hf", "--to", "hf", "--results", tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "cannot express bits 8" in refused.stderr


@pytest.mark.slow
def test_an_artefact_is_marked_in_the_plan_and_in_its_row(tmp_path: Path) -> None:
    file = tmp_path / "audit.yaml"
    file.write_text(
        SWEEP.replace("exit_weight: [0.0, 0.3]", "causal_mask: [true, false]")
        .replace("hadamard: [none, bitnet-v2]", "")
        .replace("seeds: 2", "seeds: 1")
    )
    printed = ok("sweep", file, "--results", tmp_path, "--set", "space.bits=[8]", "--set", "exclude=[]", *INLINE)
    assert "[artefact causal_mask: False]" in printed
    rows = {row["causal_mask"]: row for row in load_results(tmp_path).trials.to_pylist() if row["exit_weight"] == 0}
    assert (rows[True]["artefact"], rows[True]["skipped_guards"]) == (False, None)
    assert (rows[False]["artefact"], rows[False]["skipped_guards"]) == (True, "causality")
    assert "1 trials carry an artefact" in ok("report", tmp_path, "--full")


@pytest.mark.slow
def test_a_failing_trial_is_a_row_and_is_run_again(swept: tuple[Path, Path, str], tmp_path: Path) -> None:
    file, _, _ = swept
    one = ("--set", "space={bits: [16]}", "--set", "points=null", "--set", "exclude=null", "--set", "seeds=1")
    settings = [*one, *INLINE]
    limited = bitskip("sweep", file, "--results", tmp_path, *settings, "--set", "resources.time_limit=0.05")
    assert limited.returncode == 1
    assert "1 of 1 trials have no result" in limited.stderr
    (row,) = load_results(tmp_path).trials.to_pylist()
    assert row["status"] == "timeout"
    assert row["loss"] is None
    assert "1 to run (1 of them failed before)" in ok("sweep", file, "--results", tmp_path, *settings)
    (row,) = load_results(tmp_path).trials.to_pylist()
    assert row["status"] == "ok"


@pytest.mark.slow
def test_text_files_are_a_corpus(swept: tuple[Path, Path, str], tmp_path: Path) -> None:
    file, _, _ = swept
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(f"Document {i} speaks of the number {i * i} at some length." for i in range(3_000)))
    settings = ["--set", f"base.data.files=['{text}']", "--set", "space={bits: [16]}", "--set", "points=null",
                "--set", "exclude=null", "--set", "seeds=1", *INLINE]  # fmt: skip
    ok("sweep", file, "--results", tmp_path, *settings)
    (row,) = load_results(tmp_path).trials.to_pylist()
    assert row["data_files"] == [str(text)]
    assert row["status"] == "ok"
    # The content is the identity: the same text under another name is the same trial.
    moved = text.rename(tmp_path / "moved.txt")
    settings[1] = f"base.data.files=['{moved}']"
    assert "0 to run" in ok("sweep", file, "--results", tmp_path, *settings, "--dry-run")


def write(folder: Path, content: str) -> Path:
    path = folder / "bad.yaml"
    path.write_text(content)
    return path


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("space: {bits: [4", [], r"bad\.yaml:\d+: invalid YAML"),
        ("space: {bit: [4]}", [], r"bad\.yaml:1: unknown axis 'bit' in space; did you mean 'bits'\?"),
        ("base: {lr: fast}\nspace: {bits: [4]}", [], r"bad\.yaml:1: lr: expected a number"),
        ("name: x\nspace:\n  bits: [9]", [], r"bad\.yaml:3: bits: 9 is not one of 2…8 or 16"),
        ("name: x\nspace: {}", [], r"bad\.yaml:2: the space is empty"),
        ("name: x\nspace: {bits: []}", [], r"bad\.yaml:2: bits: the list of levels is empty"),
        ("space: {bits: [8, 4]}\nexclude: [{bits: [8, 4]}]", [], r"bad\.yaml:2: every cell of the space is excluded"),
        (
            "space: {bits: [4]}\nprofiles: {gpu: {}}",
            ["--profile", "gpus"],
            r"unknown profile 'gpus'; did you mean 'gpu'",
        ),
        ("space: {bits: [4]}", ["--set", "base.lr"], r"--set base\.lr: expected"),
        ("space: {bits: [4]}", ["--set", "base.data.files=[none.txt]"], r"no such file: none\.txt"),
        ("space: {bits: [4]}\nbase:\n  artefacts: {causal: 1}", [], r"bad\.yaml:3: artefacts: unknown key 'causal'"),
        ("space: {bits: [4]}\nsave_weights: 3", [], r"bad\.yaml:2: save_weights must be true or false"),
        ("space: {bits: [4]}\nresources: {cpus: 4096}", [], r"asks for 4096 CPU"),
    ],
)
def test_mistakes_in_a_sweep_are_one_line(tmp_path: Path, content: str, options: list[str], message: str) -> None:
    done = bitskip("sweep", write(tmp_path, content), "--results", tmp_path / "results", *options)
    assert done.returncode == 2, done.stdout + done.stderr
    assert re.search(message, done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "missing.yaml"], "missing.yaml: no such file"),
        (["report", "missing"], "missing: no such folder"),
        (["report", "EMPTY"], "not a results folder"),
        (["predict", "--bits", "4", "--results", "EMPTY"], "not a results folder"),
        (["predict", "--bits", "4", "--results", "NO_TRIALS"], "no finished trials"),
        (["explain", "anchoredd", "--results", str(ROOT / "results" / "reference")], "did you mean 'anchored'"),
        (["watch", str(ROOT / "results" / "reference"), "--web", "--host", "192.0.2.1"], "cannot listen on 192.0.2.1"),
        (["watch", "EMPTY", "--web"], "no sweep in it"),
        (["predict", "--no-hadamard", "--hadamard-variant", "bitnet-v2"], "contradicts"),
        (["suggest", "--results", "EMPTY"], "not a results folder"),
        (["suggest", "--results", "NO_TRIALS"], "nothing was measured to suggest from"),
        (["suggest", "missing.yaml"], "missing.yaml: no such file"),
        (["export", "abc", "w.safetensors", "--results", "EMPTY"], "no weights of such a trial"),
        (["export", "abc", "w.safetensors", "--dtype", "int8"], "'int8' is not one of bf16, fp32"),
        (["export", "abc", "m.gguf", "--to", "onnx"], "'onnx' is not one of bitskip, hf, gguf"),
        (["export", "abc", "m.gguf", "--to", "gguf", "--dtype", "fp32"], "gguf has --type"),
        (["export", "abc", "w.safetensors", "--type", "f16"], "--type belongs to --to gguf"),
        (["train", "--set", "artefacts={causal: false}"], "unknown key 'causal'; did you mean 'causal_mask'"),
        (["train", "--set", "artefacts={count_padding: true}", "--set", "documents=packed"], "have no padding"),
        (["export", "", "w.safetensors"], "the trial id is empty"),
        (["show", "", "--results", "NO_TRIALS"], "the trial id is empty"),
        (["train", "--device", "cuda"], "asks for a GPU that torch does not see"),
        (["train", "--device", "tpu"], "'tpu' is not one of cpu, cuda, cuda:N"),
        (["train", "--results", "FILE"], "cannot create the results folder"),
        (["train", "--set", "data.files=[FILE.txt]"], "no such file: FILE.txt"),
        (["train", "--set", "data.files=[file.txt]"], "file.txt: not UTF-8 text"),
        (["train", "--set", "bits=9"], "bits: 9 is not one of"),
        (["train", "--set", "bit=4"], "unknown axis 'bit'; did you mean 'bits'"),
    ],
)
def test_mistakes_elsewhere_are_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "no_trials" / "x" / "trials").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_bytes(b"\xff")
    places = {name: str(tmp_path / name.lower()) for name in ("EMPTY", "NO_TRIALS")} | {
        "FILE": str(tmp_path / "file.txt")
    }
    done = bitskip(*[places.get(word, word) for word in arguments], cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_torn_file_is_named_and_the_rest_reported(swept: tuple[Path, Path, str], tmp_path: Path) -> None:
    _, results, _ = swept
    folder = tmp_path / "results" / "tiny" / "trials"
    folder.mkdir(parents=True)
    for path in sorted((results / "tiny" / "trials").glob("*.parquet"))[:3]:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "torn.parquet").write_bytes(b"PAR1 not")
    pq.write_table(pa.table({"a": [1]}), folder / "foreign.parquet")
    printed = ok("report", tmp_path / "results", "--full")
    assert "torn.parquet" in printed.replace("\n", "")
    assert "foreign.parquet" in printed.replace("\n", "")


@pytest.mark.parametrize(
    ("file", "profile"),
    [
        ("quickstart", None),
        ("full_grid", None),
        ("full_grid", "gpu"),
        ("full_grid", "tinystories"),
        ("full_grid", "fineweb-edu"),
        ("paper", None),
        ("paper", "eight"),
        ("paper", "eight-sharded"),
        ("ladder", None),
        ("ladder", "gpu"),
        ("ladder", "tinystories"),
    ],
)
def test_shipped_sweeps_can_be_planned(file: str, profile: str | None, tmp_path: Path) -> None:
    options = ["--profile", profile] if profile else []
    plan = json.loads(ok("sweep", f"sweeps/{file}.yaml", *options, "--results", tmp_path, "--dry-run", "--json"))
    assert plan["to_run"] > 0
    if file == "paper":
        assert plan["to_run"] == 4
        assert plan["parameters"] == [1_061_591_040]


def test_help_lists_the_commands() -> None:
    printed = ok("--help")
    assert all(command in printed for command in ("sweep", "report", "predict", "train", "show"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux's")
@pytest.mark.parametrize(
    ("how", "status", "told"),
    [
        ("axes > /dev/full", 1, "bitskip: cannot write: No space left on device; make room and start again\n"),
        ("train --set bits=7x 2>&-", 2, ""),
        ("axes 2>&- > /dev/null", 0, ""),
        ("axes >&-", 0, ""),
    ],
)
def test_a_stream_that_is_full_or_closed_is_no_traceback(how: str, status: int, told: str) -> None:
    done = subprocess.run(f"{sys.executable} -m bitskip {how}", shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (status, told)


def test_no_columns_are_as_many_as_nobody_said() -> None:
    command = [sys.executable, "-m", "bitskip", "axes"]
    done = subprocess.run(command, env=os.environ | {"COLUMNS": "0"}, capture_output=True, text=True, check=True)
    assert "seq_len" in done.stdout

"""`bitskip predict --parameters`."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from scaled_ladders import constant, crossed, flipping, rows

import bitskip


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results") / "ladder"
    return bitskip.save_results(rows(flipping, crossed(), sigma=0.004), folder)


def loss_there() -> float:
    n, d = 7.9e6, 64e6
    return 2 + 60 * n**-0.34 + 60 * d**-0.28 + 0.1 * (d / 4e6) ** 0.2 - 0.02 + flipping(n, d)


def predict(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bitskip", "predict", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_answers_in_words_and_as_json(ladder: Path) -> None:
    asked = ("--bits", 4, "--hadamard", "--parameters", 7.9e6, "--tokens", 64e6, "--results", ladder)
    printed = predict(*asked)
    assert printed.returncode == 0, printed.stderr
    assert "flips" in printed.stdout
    assert "held out" in printed.stdout
    found = json.loads(predict(*asked, "--json").stdout)
    assert found["low"] < math.exp(loss_there()) < found["high"]
    contract = "metric mean low high level exit_layer speed_gain divergence_risk configuration baseline main_effects"
    assert {*contract.split(), "composition_effects", "nearest", "extrapolation", "model"} <= set(found)
    assert found["nearest"] is found["speed_gain"] is None
    assert [reason.split()[1] for reason in found["extrapolation"]] == ["parameters:", "tokens:"]
    assert found["scale"]["tokens_per_parameter"] == pytest.approx(64 / 7.9)
    scaling = found["scaling"]
    assert scaling["rungs"][-1]["regime"]["tokens_per_parameter"] == pytest.approx(16e6 / 1_476_224)
    assert len(scaling["rungs"]) == 9
    assert sum(scaling["weights"].values()) == pytest.approx(1)
    assert abs(scaling["held_out_error"]) < 0.03
    assert [each["techniques"] for each in found["main_effects"]] == [["bits 4"], ["hadamard bitnet-v2"]]
    assert found["composition_effects"][0]["verdict"] == scaling["verdict"] == "flips"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--bits", 4, "--parameters", 1e9, "--tokens", 20e9), "more than 8 times from the largest measured"),
        (("--bits", 4, "--parameters", 1e6), "needs --tokens"),
        (("--parameters", 1e6, "--tokens", 4e6), "name a technique"),
        (("--bits", 4, "--parameters", 1e6, "--tokens", 4e6, "--model", "nano"), "does not go with --model"),
        (("--bits", 8, "--parameters", 1e6, "--tokens", 4e6), "was not measured"),
        (("--bits", 4, "--parameters", -1, "--tokens", 4e6), "expected a positive number"),
    ],
)
def test_mistakes_are_one_line(ladder: Path, arguments: tuple, message: str) -> None:
    failed = predict(*arguments, "--results", ladder)
    assert failed.returncode == 2
    assert message in failed.stderr
    assert len(failed.stderr.strip().splitlines()) == 1


def test_force_says_so(ladder: Path) -> None:
    forced = predict("--bits", 4, "--parameters", 1e9, "--tokens", 20e9, "--force", "--results", ladder)
    assert forced.returncode == 0
    assert "forced: 1e+09 parameters" in forced.stdout


def test_what_is_undertrained_is_called_so(ladder: Path) -> None:
    asked = ("--bits", 4, "--hadamard", "--parameters", 7.9e6, "--tokens", 30e6, "--results", ladder)
    first = predict(*asked).stdout.split("\n\n")[0]
    assert first.count("undertrained") == 2  # of the effect, and of the perplexity


def test_two_by_two_rungs_are_refused(tmp_path: Path) -> None:
    bitskip.save_results(rows(constant, crossed(2, 2), sigma=0.01), tmp_path / "small")
    asked = ("--bits", 4, "--hadamard", "--parameters", 1e6, "--tokens", 16e6, "--results", tmp_path / "small")
    assert "going beyond needs 3" in predict(*asked).stderr

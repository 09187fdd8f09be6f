"""What pyproject promises is what is tested: the lowest version of each dependency is the pinned one."""

import itertools
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
BUILD_TOOLS = {"setuptools"}
BUILD = "from setuptools import build_meta as b; b.build_sdist('dist'); b.build_wheel('dist')"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sdist and wheel, built from a copy: a build leaves files behind."""
    copy = tmp_path_factory.mktemp("build") / "source"
    skipped = {".git", ".venv", "build", "dist", "bitskip.egg-info", ".mypy_cache", ".ruff_cache", ".hypothesis"}
    shutil.copytree(ROOT, copy, ignore=lambda folder, names: skipped & set(names))
    done = subprocess.run([sys.executable, "-c", BUILD], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return copy / "dist"


def test_a_wheel_answers_anywhere(built: Path, tmp_path: Path) -> None:
    """Unpacked without its checkout: reference results and sweeps are found, and nothing is written beside them."""
    (wheel,) = built.glob("*.whl")
    assert wheel.stat().st_size < 10 << 20
    installed, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    zipfile.ZipFile(wheel).extractall(installed)
    before = sorted(installed.rglob("*"))
    environment = os.environ | {
        "PYTHONPATH": str(installed),
        "PYTHONDONTWRITEBYTECODE": "1",
        "BITSKIP_CACHE": str(tmp_path / "cache"),
    }

    def run(*arguments: str) -> dict[str, object]:
        command = [sys.executable, "-m", "bitskip", *arguments, "--json"]
        done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert run("predict", "--bits", "4", "--hadamard")["tier"] != "outside"
    assert run("sweep", "full_grid", "--dry-run")["name"] == "full_grid"
    assert sorted(installed.rglob("*")) == before


def test_the_sdist_can_be_tested(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not tracked:
        pytest.skip("no checkout to compare with")
    left_out = {name for name in tracked if not name.startswith(".")} - inside
    assert not left_out


def test_lowest_versions_are_those_that_are_tested() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    pinned = {
        canonicalize_name(name): Version(version) for name, _, version in (line.partition("==") for line in lines)
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]:
        wanted = Requirement(text)
        if wanted.name in {*BUILD_TOOLS, project["name"]}:
            continue
        tested = pinned[canonicalize_name(wanted.name)]
        lowest = next(Version(each.version) for each in wanted.specifier if each.operator == ">=")
        assert tested in wanted.specifier, text
        assert (lowest.major, lowest.minor) == (tested.major, tested.minor), text

"""What pyproject promises is what is tested: the lowest version of each dependency is the pinned one."""

import itertools
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
BUILD_TOOLS = {"setuptools"}


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

"""Rows that were made differently are told apart where they can be compared."""

import io
import json
from typing import Any

import pytest
from rich.console import Console
from simulated_results import results_from, trial_row

from bitskip.analysis.factorial import as_plain
from bitskip.report.document import TERMINAL, document
from bitskip.report.summary import analyse, summarise
from bitskip.report.terminal import print_document
from bitskip.store.provenance import provenance
from bitskip.trial.config import make_trial


def row(seed: int = 0, tokens: int = 1000, **extra: Any) -> dict[str, Any]:
    made = {
        "git_sha": "a" * 40,
        "threads": 1,
        "niceness": 0,
        "versions": json.dumps({"torch": "2.6", "python": "3.12"}),
    }
    return trial_row(make_trial(bits=8, seed=seed, tokens=tokens), 3.0) | made | extra


def test_rows_that_were_made_alike_are_not_flagged() -> None:
    assert provenance([row(seed) for seed in range(3)]).mixed == ()
    assert provenance([]).trials == 0


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("git_sha", {"git_sha": "b" * 40 + "+"}),
        ("torch", {"versions": json.dumps({"torch": "2.7", "python": "3.12"})}),
        ("device", {"device": "H100"}),
        ("threads", {"threads": 2}),
        ("host", {"host": "there"}),
        ("niceness", {"niceness": 10}),
    ],
)
def test_what_differs_is_named_with_its_counts(what: str, change: dict[str, Any]) -> None:
    found = provenance([row(0), row(1), row(2, **change)])
    assert [mixture.what for mixture in found.mixed] == [what]
    assert sorted(found.mixed[0].trials.values()) == [1, 2]
    assert found.trials == 3


def test_only_rows_that_can_be_compared_are() -> None:
    other = {"git_sha": "b" * 40}
    assert provenance([row(0), row(1, tokens=2000, **other)]).mixed == ()
    assert provenance([row(0), row(1, status="error", **other), row(2, artefact=True, **other)]).mixed == ()
    assert provenance([row(0), row(1, git_sha=None, versions=None, niceness=None)]).mixed == ()
    assert provenance([row(0), row(1, versions="not JSON")]).mixed == ()


def test_a_report_says_it_in_a_line_and_in_its_json() -> None:
    results = results_from([row(0), row(1, git_sha="b" * 40 + "+")])
    console = Console(file=io.StringIO(), width=200)
    print_document(document(analyse(results), TERMINAL), console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "mixed git_sha: aaaaaaaa (1), bbbbbbbb+ (1): the code may have trained differently" in printed
    (mixture,) = as_plain(summarise(results))["provenance"]["mixed"]
    assert mixture["trials"] == {"a" * 40: 1, "b" * 40 + "+": 1}

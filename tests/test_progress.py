"""What takes long says how far it is; what is quick says nothing."""

from __future__ import annotations

import time

import pytest

from bitskip import progress


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(progress, "SECONDS_PER_LINE", 0.05)


def until(told: list[str], wanted: str) -> None:
    end = time.monotonic() + 10
    while wanted not in told and time.monotonic() < end:
        time.sleep(0.01)
    assert wanted in told


def test_lines_say_how_far_the_innermost_stage_is() -> None:
    told: list[str] = []
    with progress.shown(told.append), progress.stage("all", 10):
        progress.advance(4)
        until(told, "all: 40%")
        with progress.stage("part"):
            until(told, "part …")
        progress.advance(6)
        until(told, "all: 100%")


def test_what_is_quick_or_asked_for_by_nobody_is_silent() -> None:
    told: list[str] = []
    with progress.shown(told.append), progress.stage("quick", 10):
        progress.advance(10)
    with progress.shown(None), progress.stage("unseen"):
        time.sleep(0.2)
    assert told == []


def test_a_terminal_sees_a_bar(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(progress, "SECONDS_PER_FRAME", 0.02)
    with progress.shown(print, bar=True), progress.stage("reading", 10):
        progress.advance(5)
        time.sleep(1)
    shown = capfd.readouterr()
    assert "reading" in shown.err
    assert "50%" in shown.err
    assert shown.out == ""

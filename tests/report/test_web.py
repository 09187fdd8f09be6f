"""`bitskip watch --web`: the state of sweeps in a browser, on this machine alone or behind a token."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from simulated_results import trial_row

from bitskip.errors import UserError
from bitskip.report.web import LOOPBACK, Server, Watched, is_loopback
from bitskip.store.folder import SweepFolder
from bitskip.store.heartbeat import reporting
from bitskip.store.tables import write_trial
from bitskip.sweep.sweep_file import load_sweep

DESIGN = "name: tiny\nspace: {bits: [16, 8, 4], exit_weight: [0.0, 0.3]}\nseeds: 2\n"
EVIL = "</script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep with results, a failure with its log, and a trial that a worker has in its hands."""
    folder = tmp_path_factory.mktemp("web") / "tiny"
    folder.mkdir()
    (folder / "sweep.yaml").write_text(DESIGN)
    trials = load_sweep(folder / "sweep.yaml").trials
    times = {"started_at": datetime.now(UTC), "train_seconds": 30.0, "eval_seconds": 2.0}
    for trial in trials[:8]:
        write_trial(folder, trial_row(trial, 3.0 + 0.01 * trial.seed + 0.1 * (trial["bits"] == 4), **times))
    write_trial(folder, trial_row(trials[8], None, status="diverged", reason=EVIL, **times))
    log = SweepFolder(folder).log(trials[8].trial_id)
    log.parent.mkdir()
    log.write_text(f"step 1\n{EVIL}\n")
    with reporting(folder, trials[9].trial_id, "tiny", None, 100, 8, "cpu") as told:
        state = vars(told.state) | {"stage": "training", "step": 50, "updated_at": time.time(), "train_loss": 3.5}
    SweepFolder(folder).heartbeat(trials[9].trial_id).write_text(json.dumps(state | {"losses": [5.0, 4.0, 3.5]}))
    return folder.parent


@contextlib.contextmanager
def serving(results: Path, *options: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """(the process, its address), with a port of its own."""
    command = [sys.executable, "-m", "bitskip", "watch", str(results), "--web", "--port", "0", "--json", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield process, json.loads(line)["url"]
    finally:
        process.kill()
        process.communicate()


def get(url: str, path: str = "/", **headers: str) -> tuple[int, str, dict[str, str]]:
    """(status, text, headers); redirections are not followed."""
    port = urlsplit(url).port
    assert port is not None
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    asked.request("GET", path, headers=headers)
    answer = asked.getresponse()
    found = answer.status, answer.read().decode(), {k.lower(): v for k, v in answer.getheaders()}
    asked.close()
    return found


def state_of(url: str) -> dict[str, Any]:
    status, text, _ = get(url, "/state.json")
    assert status == 200
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_running_sweep_is_served_until_ctrl_c(results: Path) -> None:
    with serving(results) as (process, url):
        assert urlsplit(url).hostname == "127.0.0.1"
        status, page, headers = get(url)
        assert status == 200
        assert headers["content-type"] == "text/html; charset=utf-8"
        assert "connect-src 'self'" in page
        (sweep,) = state_of(url)["sweeps"]
        assert (sweep["name"], sweep["total"], sweep["ended"], sweep["failed"]) == ("tiny", 12, 9, 1)
        assert sweep["counts"]["running"] == 1
        assert sweep["remaining_seconds"] > 0
        (running,) = sweep["running"]
        assert (running["losses"], running["progress"]) == ([5.0, 4.0, 3.5], "50/100")
        (failure,) = sweep["failures"]
        assert (failure["status"], failure["reason"]) == ("diverged", EVIL)
        log = "/log?" + urlencode({"sweep": sweep["folder"], "trial": failure["trial_id"]})
        status, text, headers = get(url, log)
        assert (status, text) == (200, f"step 1\n{EVIL}\n")
        assert headers["content-type"].startswith("text/plain")
        assert headers["x-content-type-options"] == "nosniff"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 130
        assert errors == ""  # also while a report is being made


def test_the_report_of_what_has_finished_follows(results: Path) -> None:
    pytest.importorskip("matplotlib")
    with serving(results) as (_, url):
        get(url)
        until = time.monotonic() + 120
        while (report := state_of(url)["report"])["making"] or not report["rows"]:
            assert not report["problem"]
            assert time.monotonic() < until
            time.sleep(0.5)
        assert report["rows"] == report["ended"] == 9
        page = get(url)[1]
        assert 'data-rows="9"' in page
        assert "Best for its size" in page
        assert EVIL not in page


@pytest.mark.parametrize(
    "path",
    ["/state", "/log", "/log?sweep=tiny&trial=..", "/../../etc/passwd", "/log?sweep=/etc&trial=passwd"],
)
def test_nothing_else_is_there(results: Path, served: str, path: str) -> None:
    assert get(served, path)[0] == 404
    (sweep,) = state_of(served)["sweeps"]
    outside = urlencode({"sweep": sweep["folder"], "trial": "../sweep"})
    assert get(served, f"/log?{outside}")[0] == 404


@pytest.fixture(scope="module")
def served(results: Path) -> Iterator[str]:
    with serving(results) as (_, url):
        yield url


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "10.0.0.1", "[::", "127.0.0.1.evil.example"])
def test_another_name_that_points_here_is_refused(served: str, host: str) -> None:
    assert get(served, "/state.json", Host=host)[0] == 403
    assert get(served, "/state.json", Host="localhost:6006")[0] == 200


def test_elsewhere_a_token_is_asked_for(results: Path) -> None:
    with serving(results, "--host", "0.0.0.0") as (_, url):
        (token,) = parse_qs(urlsplit(url).query)["token"]
        for path in ("/", "/state.json", "/?token=wrong", "/?token=%C3%A9", "/log"):
            assert get(url, path)[0] == 401
        assert get(url, "/", Cookie="bitskip=; $%&")[0] == 401
        status, _, headers = get(url, f"/?token={token}")
        assert (status, headers["location"]) == (303, "/")
        assert "HttpOnly" in headers["set-cookie"]
        cookie = headers["set-cookie"].partition(";")[0]
        assert get(url, "/state.json", Cookie=cookie)[0] == 200
        assert get(url, "/state.json", Authorization=f"Bearer {token}")[0] == 200
        assert get(url, "/state.json", Authorization=f"Bearer {token}x")[0] == 401


@pytest.mark.slow
def test_the_live_page_in_a_browser(results: Path, browser: Any) -> None:
    """Counts, a loss curve, a failure with its log as text; nothing is asked of anybody else."""
    (heartbeat,) = SweepFolder(results / "tiny").heartbeats.glob("*.json")
    told: list[str] = []
    with serving(results) as (_, url):
        for width, height in ((1280, 800), (390, 844)):
            tab = browser.new_page(viewport={"width": width, "height": height})
            tab.on("console", lambda message: told.append(message.text))
            tab.on("pageerror", lambda error: told.append(str(error)))
            tab.on("request", lambda asked: told.append(asked.url) if not asked.url.startswith(url) else None)
            tab.goto(url)
            assert "9/12" in tab.locator("#live-sweeps section > p").first.inner_text()
            assert tab.locator("#live svg path").get_attribute("d").count("L") == 2
            tab.click("#live-sweeps > section > details summary >> text=without a usable result")
            tab.click("#live details details summary >> text=diverged")
            tab.locator("#live pre", has_text=EVIL).wait_for()
            heartbeat.write_text(json.dumps(json.loads(heartbeat.read_text()) | {"step": 50 + width}))
            tab.locator("#live td", has_text=f"{50 + width}/100").wait_for()  # drawn anew, with the log still open
            assert tab.locator("#live pre").all_inner_texts() == [f"step 1\n{EVIL}\n"]
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
            tab.close()
    assert [line for line in told if "favicon" not in line] == []


def test_loopback_is_told_from_all_else() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org", "", "localhost.example.org")))


def test_what_cannot_be_served_is_said(results: Path, tmp_path: Path) -> None:
    with Server(Watched(results), LOOPBACK, 0) as first, pytest.raises(UserError, match="choose another with --port"):
        Server(Watched(results), LOOPBACK, first.server_address[1])
    with pytest.raises(UserError, match="cannot listen on 192.0.2.1"):
        Server(Watched(results), "192.0.2.1", 0)
    with pytest.raises(UserError, match="no sweep in it"):
        Watched(tmp_path)
    assert os.listdir(results) == ["tiny"]  # looking leaves nothing behind

"""`bitskip watch --web`: the page of a report, served while its sweeps run, with what runs on top.

Everything is read from the folders of the sweeps when it is asked for (`engine.status`), and nothing else is kept: the
page asks for a small JSON object every other second. A report is made when the page is loaded and trials have ended
since the last one, so that nobody who is not looking takes time from the trials.

On another address than a loopback one every request needs the token: in the address the first time, then in a cookie.
On a loopback address the name that was asked for must be one too, or any page of the web could read along by letting
its own name point here.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from bitskip.engine.lookouts import Lookouts
from bitskip.engine.status import Active, Snapshot
from bitskip.errors import UserError
from bitskip.extras import EXTRA_OF, how_to_get
from bitskip.report.html import html_page, live_page
from bitskip.report.live import SILENT_SECONDS, duration, next_step, summary_line
from bitskip.report.summary import analyse
from bitskip.store.filesystem import place
from bitskip.store.folder import SweepFolder
from bitskip.store.schema import Status
from bitskip.store.tables import load_results

PORT = 8787
LOOPBACK = "127.0.0.1"
MOST_FAILURES, MOST_CONFIGURATIONS = 30, 200
LOG_BYTES = 64 * 1024
LOOK_SECONDS = 1.0
"""However many pages ask, the folders are looked at so often at most."""


class Watched:
    """What the pages ask for: the state of now, a log, and the page with the newest report. Safe among threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lookouts = Lookouts(path)
        self._lock = threading.Lock()
        self._looked, self._found = float("-inf"), list[Snapshot]()
        self._page, self._rows = live_page(f"What runs in {path.name}"), 0
        self._making, self._problem, self._closed = False, "", False
        self._process: subprocess.Popen[str] | None = None

    def snapshots(self) -> list[Snapshot]:
        """The sweeps as they are now."""
        with self._lock:
            if time.monotonic() - self._looked >= LOOK_SECONDS:
                self._found, self._looked = self._lookouts.look(), time.monotonic()
            return self._found

    def state(self) -> dict[str, Any]:
        """The object of `state.json`."""
        found = self.snapshots()
        alive = sum(each.alive for each in found)
        line = f"{alive} of {len(found)} sweeps running." if alive else "Nothing is running here."
        if all(each.complete for each in found):
            line = "Every trial has a result."
        report = {"rows": self._rows, "ended": _rows(found), "making": self._making, "problem": self._problem}
        sweeps = [sweep_state(each) for each in sorted(found, key=lambda each: each.complete)]
        return {"line": line, "sweeps": sweeps, "report": report}

    def page(self) -> str:
        """The page with the newest report; a newer one is begun where trials have ended since."""
        rows = _rows(self.snapshots())
        with self._lock:
            begin = rows != self._rows and not self._making
            self._making |= begin
        if begin:
            threading.Thread(target=self._report, args=[rows], daemon=True).start()
        return self._page

    def _report(self, rows: int) -> None:
        """In a process of its own: it takes seconds of a whole core, and a server that ends can end it."""
        command = [sys.executable, "-c", f"from {__name__} import print_page; print_page()", str(self.path), str(rows)]
        with self._lock:
            if self._closed:
                return
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", start_new_session=True
            )
        page, problem = self._process.communicate()
        with self._lock:
            self._making, self._problem = False, problem.strip()
            if self._process.returncode == 0:
                self._page, self._rows, self._problem = page, rows, ""

    def close(self) -> None:
        """End a report that is being made."""
        with self._lock:
            self._closed = True
            if self._process:
                self._process.kill()

    def log(self, sweep: str, trial: str) -> str | None:
        """The end of a trial's log; None for what is no trial here, or has none."""
        known = [each for each in self.snapshots() if each.folder == sweep]
        ended = {each.trial_id for own in known for each in own.finished}
        if trial not in ended | {each.running.trial_id for own in known for each in own.running}:
            return None
        try:
            with SweepFolder(place(sweep)).log(trial).open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - LOG_BYTES))
                return file.read().decode("utf-8", errors="replace")
        except OSError:
            return None


def print_page() -> None:
    """Print the live page of a folder with so many rows, both in `sys.argv`; the trials that run go first."""
    os.nice(10)
    path, rows = Path(sys.argv[1]), int(sys.argv[2])
    try:
        page = html_page(analyse(load_results(path), source=path), live=rows)
    except UserError as error:
        sys.exit(str(error))
    except ModuleNotFoundError as error:
        if error.name not in EXTRA_OF:
            raise
        sys.exit(how_to_get(error.name))
    sys.stdout.buffer.write(page.encode())


def _rows(found: list[Snapshot]) -> int:
    return sum(len(each.finished) + each.kept for each in found)


def sweep_state(found: Snapshot) -> dict[str, Any]:
    """What the page shows of a sweep."""
    failed = [each for each in found.finished if each.status != Status.OK]
    grid = [asdict(each) for each in found.configurations] if len(found.configurations) <= MOST_CONFIGURATIONS else []
    return {
        "name": found.name,
        "folder": found.folder,
        "line": summary_line(found).removeprefix(f"{found.name}: "),
        "ended": found.ended,
        "total": found.total,
        "counts": dict(found.counts),
        "remaining_seconds": found.remaining_seconds,
        "alive": found.alive,
        "complete": found.complete,
        "next": next_step(found),
        "problems": list(found.problems),
        "running": list(map(_active_state, found.running)),
        "failed": len(failed),
        "failures": [
            {"trial_id": each.trial_id, "label": each.what, "status": each.status, "reason": each.reason}
            for each in failed[: -MOST_FAILURES - 1 : -1]
        ],
        "seeds": list(found.seeds),
        "configurations": grid,
    }


def _active_state(active: Active) -> dict[str, Any]:
    running = active.running
    rate = "" if running.tokens_per_second is None else f"{running.tokens_per_second:,.0f} tokens/s"
    silent = f"silent {duration(active.silent_seconds)}" if active.silent_seconds > SILENT_SECONDS else rate
    return {
        "trial_id": running.trial_id,
        "label": active.label if active.seed is None else f"{active.label}, seed {active.seed}",
        "losses": list(running.losses),
        "loss": "" if running.train_loss is None else f"{running.train_loss:.3f}",
        "progress": running.progress if running.stage == "training" else running.stage,
        "note": "its worker is gone" if active.lost else silent,
    }


class Server(ThreadingHTTPServer):
    """Answers for one watched folder; `token` is "" where none is needed. Raises UserError if it cannot listen."""

    daemon_threads = True

    def __init__(self, watched: Watched, host: str = LOOPBACK, port: int = PORT) -> None:
        self.watched, self.token = watched, "" if is_loopback(host) else secrets.token_urlsafe(24)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"cannot listen on {host}, port {port}: {reason}; choose another with --port") from None

    @property
    def url(self) -> str:
        host, port = str(self.server_address[0]), self.server_address[1]
        named = f"[{host}]" if ":" in host else host
        return f"http://{named}:{port}/" + (f"?{urlencode({'token': self.token})}" if self.token else "")

    @property
    def cookie(self) -> str:
        """Cookies are of a host whatever the port: several servers must not take each other's."""
        return f"bitskip{self.server_address[1]}"

    def server_close(self) -> None:
        super().server_close()
        self.watched.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that goes away is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Handler(BaseHTTPRequestHandler):
    """`/`, `/state.json` and `/log?sweep=…&trial=…`."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "bitskip", ""
    timeout = 30

    def do_GET(self) -> None:
        try:
            address, named = urlsplit(self.path), urlsplit(f"//{self.headers.get('Host', '')}").hostname
        except ValueError:  # such as half an IPv6 address
            self._send("What was asked for is no address.", status=HTTPStatus.FORBIDDEN)
            return
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        if not self.server.token:
            if is_loopback(named or ""):
                self._answer(address.path, asked)
            else:
                self._send("Ask for localhost.", status=HTTPStatus.FORBIDDEN)
        elif self._is_token(asked.get("token", "")):
            self._enter()
        elif self._is_token(self._shown_token()):
            self._answer(address.path, asked)
        else:
            self._send("The address that bitskip watch printed has the token.", status=HTTPStatus.UNAUTHORIZED)

    def _answer(self, path: str, asked: Mapping[str, str]) -> None:
        watched = self.server.watched
        try:
            if path == "/":
                self._send(watched.page(), "text/html")
            elif path == "/state.json":
                self._send(json.dumps(watched.state()), "application/json")
            elif path == "/log" and (log := watched.log(asked.get("sweep", ""), asked.get("trial", ""))):
                self._send(log)
            else:
                self._send("Not here.", status=HTTPStatus.NOT_FOUND)
        except UserError as error:  # such as a results folder that is gone
            self._send(str(error), status=HTTPStatus.SERVICE_UNAVAILABLE)

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.server.token.encode())

    def _shown_token(self) -> str:
        scheme, _, given = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Bearer":
            return given
        try:
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get(self.server.cookie)
        except CookieError:
            return ""
        return cookie.value if cookie else ""

    def _enter(self) -> None:
        """Take the token out of the address, which others see over a shoulder and in a history."""
        cookie = f"{self.server.cookie}={self.server.token}; HttpOnly; SameSite=Lax; Path=/"
        self._send("", status=HTTPStatus.SEE_OTHER, more={"Location": "/", "Set-Cookie": cookie})

    def _send(
        self,
        text: str,
        kind: str = "text/plain",
        status: HTTPStatus = HTTPStatus.OK,
        more: dict[str, str] | None = None,
    ) -> None:
        body = text.encode("utf-8", errors="replace")
        self.send_response(status)
        headers = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": "frame-ancestors 'none'",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        for name, value in (headers | (more or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are not told: a page asks every other second."""


def serve(path: Path, host: str, port: int, as_json: bool) -> None:
    """Serve until Ctrl-C. Raises UserError where there is no sweep, or nothing can listen there."""
    with Server(Watched(path), host, port) as server:
        if as_json:
            print(json.dumps({"url": server.url, "token": server.token or None}), flush=True)
        else:
            print(f"{server.url}  (Ctrl-C ends it)", flush=True)
            if not server.token:
                port = server.server_address[1]
                print(f"From another machine: ssh -L {port}:localhost:{port} THIS_HOST, then this address there.")
        server.serve_forever()

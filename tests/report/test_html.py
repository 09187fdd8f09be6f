"""The report as a page, as figures and as CSV: through the command, and as a reader's browser shows it."""

import csv
import json
import re
import subprocess
import sys
import xml.etree.ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_results import exit_rows, grid, results_from, simulate, single_effects, trial_row

from bitskip.model.decoder import build_model
from bitskip.report.charts.pareto import front
from bitskip.report.charts.style import readable_on
from bitskip.report.glossary import GLOSSARY
from bitskip.report.html import html_page
from bitskip.report.summary import analyse
from bitskip.store.schema import TABLES, arrow_schema
from bitskip.store.tables import Results
from bitskip.training.evaluate import weight_bytes
from bitskip.trial.config import POINTS, make_trial
from bitskip.trial.cost import exit_weight_bytes

BITSKIP = Path(sys.executable).with_name("bitskip")
EVIL = "<script>alert(1)</script>"
EVIL_POINT = '"><img src=x onerror="document.title=1">'
FIGURES = {
    "composition-matrix",
    "main-effects",
    "interactions",
    "exits",
    "learning-curves",
    "pareto-bytes",
    "calibration",
}


def stored(results: Results, root: Path, **tables: list[dict[str, Any]]) -> Path:
    """The results as a sweep leaves them."""
    for name in TABLES:
        rows = tables.get(name, getattr(results, name).to_pylist())
        (root / "sweep" / name).mkdir(parents=True)
        pq.write_table(
            pa.Table.from_pylist(rows, schema=arrow_schema(name)), root / "sweep" / name / "compact-1.parquet"
        )
    return root


def example(root: Path) -> Path:
    """A small grid with names that would be markup, failures, exits with speeds, curves and layers."""
    found = simulate(
        grid(bits=(16, 8, 4), hadamard=("none", "bitnet-v2"), exit_weight=(0.0, 0.3)), single_effects, seeds=3
    )
    trials = [
        {**row, "sweep": EVIL, "point": EVIL_POINT if row["bits"] == 4 else None} for row in found.trials.to_pylist()
    ]
    failed = make_trial(bits=4, hadamard="random-sign", seed=0)
    trials.append(trial_row(failed, None, status="diverged", reason=EVIL, sweep=EVIL))
    exits = [e | {"decode_tokens_per_second": 100 * (1 + e["speed_gain"])} for e in found.exits.to_pylist()]
    curves = [
        {"trial_id": row["trial_id"], "step": k, "tokens": 1000 * k, "phase": "2", "val_loss": row["loss"] + 1 / k}
        for row in trials
        if row["loss"]
        for k in (1, 2, 4)
    ]
    layers = [
        {"trial_id": row["trial_id"], "step": 9, "layer": layer, "site": "q", "kurtosis": 3.0, "snr_db": 20.0 + layer}
        for row in trials
        for layer in (1, 2, 3)
    ]
    return stored(found, root, trials=trials, exits=exits, curves=curves, layers=layers)


def run(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run([str(BITSKIP), *map(str, words)], capture_output=True, text=True, timeout=240)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page")
    file = root / "out" / "report.html"
    done = run("report", example(root / "results"), "--html", file)
    assert (done.returncode, done.stdout.strip()) == (0, str(file)), done.stderr
    return file


def test_names_are_never_markup_and_nothing_is_loaded(page: Path) -> None:
    text = page.read_text()
    assert text.count("<script") == 1
    assert EVIL not in text
    assert EVIL_POINT not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "default-src 'none'" in text
    loading = ("https://", "<img", "<link", "<iframe", "@import", "url(http", "fetch(")
    assert not [word for word in loading if word in text]
    assert set(re.findall(r"http://[^\s\"]+", text)) <= {"http://www.w3.org/1999/xlink"}
    ids = [part.split('"')[0] for part in text.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


@pytest.mark.slow
def test_the_page_in_a_browser(page: Path, browser: Any, tmp_path: Path) -> None:
    """Desktop, dark, phone, print; no error, no request, no sideways scrolling; filter, sort, theme, keyboard."""
    told: list[str] = []
    views = {
        "desktop": {"viewport": {"width": 1280, "height": 900}},
        "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
        "phone": {"viewport": {"width": 390, "height": 844}},
    }
    for name, options in views.items():
        tab = browser.new_page(**options)
        tab.on("console", lambda message: told.append(message.text))
        tab.on("pageerror", lambda error: told.append(str(error)))
        tab.on("request", lambda request: told.append(request.url) if request.url != page.as_uri() else None)
        tab.goto(page.as_uri())
        tab.screenshot(path=tmp_path / f"{name}.png", full_page=True)
        assert (tmp_path / f"{name}.png").stat().st_size > 20_000
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        assert tab.title() != "1"
        assert tab.locator("#picture svg").bounding_box()["y"] < 900, name
        assert tab.evaluate("document.documentElement.scrollHeight / innerHeight") < 12, name
        for low in _faint_text(tab):
            told.append(f"{name}: {low}")
        tab.close()
    tab = browser.new_page()
    tab.goto(page.as_uri())
    tab.emulate_media(media="print")
    (tmp_path / "print.pdf").write_bytes(tab.pdf(format="A4"))
    assert (tmp_path / "print.pdf").stat().st_size > 20_000
    tab.emulate_media(media="screen")
    tab.click("#open")
    shown = "[...document.querySelectorAll('#trials-table tbody tr:not(.away)')].map(r => r.textContent)"
    everything = tab.evaluate(shown)
    tab.fill("#filter", "diverged")
    assert [EVIL in text for text in tab.evaluate(shown)] == [True]
    tab.fill("#filter", "")
    assert tab.evaluate(shown) == everything
    place = tab.evaluate(
        "[...document.querySelectorAll('#trials-table th')].findIndex(h => h.textContent == 'perplexity')"
    )
    button = tab.locator("#trials-table thead button").nth(place)
    values = f"[...document.querySelectorAll('#trials-table tbody tr')].map(r => r.cells[{place}].dataset.sort)"
    button.focus()
    tab.keyboard.press("Enter")
    rising = [float(value) for value in tab.evaluate(values) if value]
    assert rising == sorted(rising)
    button.click()
    falling = tab.evaluate(values)
    assert falling[-1] == "", "what has no value stays last"
    assert [float(value) for value in falling[:-1]] == sorted(rising, reverse=True)
    tab.fill("#filter", "bits 8")
    tab.wait_for_function("location.hash.includes('q=bits+8')")
    assert 0 < tab.locator("#learning-curves-1 .dim").count() < tab.locator("#learning-curves-1 .tip").count()
    _explored(tab)
    before = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    tab.click("button.theme")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") != before
    assert told == []


def _explored(tab: Any) -> None:
    """A mark tells its trial, highlights it in every figure and table, and is reached by keyboard; seeds are whole."""
    tab.fill("#filter", "")
    every = tab.locator("#pareto-bytes-1 .tip")
    every.first.scroll_into_view_if_needed()
    every.first.hover(force=True)
    told = tab.locator("#tip").inner_text()
    assert ", seed " in told
    assert ", exit " in told
    every.first.click(force=True)
    chosen = tab.input_value("#filter")
    assert chosen.endswith(f'"seed {told.split(", seed ")[1][0]}"')
    for figure in ("pareto-bytes-1", "pareto-speed-1"):
        assert 0 < tab.locator(f"#{figure} .dim").count() < tab.locator(f"#{figure} .tip").count(), figure
    shown = "document.querySelectorAll('#trials-table tbody tr:not(.away)').length"
    assert 0 < tab.evaluate(shown) < 10
    tab.focus("#pareto-bytes-1 .scroll")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowRight")
    assert told.split(", exit ")[0] in tab.locator("#tip").inner_text()
    tab.keyboard.press("Escape")
    assert tab.input_value("#filter") == ""
    assert tab.locator("#tip").is_hidden()
    tab.click("#pick summary")
    tab.click("#chips >> text=seed 1")
    tab.wait_for_function("location.hash.includes('seed')")
    assert tab.evaluate(shown) == 12, "one of three seeds of a grid of twelve"
    assert tab.evaluate("document.querySelectorAll('#scale-1-configurations tbody tr.away').length") == 0
    tab.click("#chips >> text=seed 1")
    assert tab.input_value("#filter") == ""
    verdicts = tab.evaluate("[...document.querySelectorAll('#scale-1-effects td[title]')].map(c => c.textContent)")
    assert verdicts


def _faint_text(tab: Any) -> list[str]:
    """Colours of the theme that do not reach WCAG AA (4.5 to 1) on its background."""
    names = ("--ink", "--soft", "--link", "--good", "--bad")
    read = "n => getComputedStyle(document.documentElement).getPropertyValue(n).trim()"
    paper, band = (_luminance(tab.evaluate(read, name)) for name in ("--paper", "--band"))
    found = []
    for name in names:
        own = _luminance(tab.evaluate(read, name))
        for ground in (paper, band):
            ratio = (max(own, ground) + 0.05) / (min(own, ground) + 0.05)
            if ratio < 4.5:
                found.append(f"{name} {ratio:.2f}")
    return found


def _luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(2 * d for d in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("kind", ["empty", "one trial", "only failed trials", "no seed twice"])
def test_little_is_reported_too(kind: str, tmp_path: Path) -> None:
    trial = make_trial(**POINTS["V1"])
    rows = {
        "empty": [],
        "one trial": [trial_row(trial, 3.0)],
        "only failed trials": [trial_row(make_trial(seed=s), None, status="error", reason="no disk") for s in (0, 1)],
        "no seed twice": [trial_row(t, 3.0) for t in grid(bits=(16, 8), hadamard=("none", "bitnet-v2"))],
    }[kind]
    exits = exit_rows(trial, 3.0) if kind == "one trial" else []
    folder = stored(results_from(rows, exits), tmp_path / "results")
    done = run(
        "report", folder, "--html", tmp_path / "r.html", "--csv", tmp_path / "csv", "--figures", tmp_path / "figures"
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(rows)} trials" in (tmp_path / "r.html").read_text() or not rows
    with (tmp_path / "csv" / "trials.csv").open() as source:
        assert len(list(csv.DictReader(source))) == len(rows)


def test_figures_and_their_data(tmp_path: Path) -> None:
    folder = example(tmp_path / "results")
    done = run("report", folder, "--figures", tmp_path / "figures", "--json")
    written = {Path(path) for path in json.loads(done.stdout)["written"]}
    assert {path.stem for path in written} >= FIGURES
    for name in {path.stem for path in written}:
        files = {path.suffix: path for path in written if path.stem == name}
        assert files.keys() == {".svg", ".pdf", ".png", ".csv"}
        xml.etree.ElementTree.parse(files[".svg"])
        assert files[".pdf"].read_bytes().startswith(b"%PDF")
        assert files[".png"].read_bytes().startswith(b"\x89PNG")
        with files[".csv"].open() as source:
            assert list(csv.DictReader(source))


def test_a_broken_file_is_named_and_the_rest_reported(tmp_path: Path) -> None:
    folder = example(tmp_path / "results")
    (folder / "sweep" / "trials" / "bad.parquet").write_bytes(b"no parquet")
    done = run("report", folder, "--html", tmp_path / "r.html")
    assert done.returncode == 0
    assert "bad.parquet" in done.stderr
    assert "bad.parquet" in (tmp_path / "r.html").read_text()


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("report", example(tmp_path / "results"), "--html", tmp_path / "file" / "r.html")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_scales_are_kept_apart(tmp_path: Path) -> None:
    rows = [
        trial_row(make_trial(bits=bits, tokens=t, seed=s), 3.0 + s / 9)
        for bits in (16, 8)
        for t in (10_000, 20_000)
        for s in (0, 1)
    ]
    text = html_page(analyse(results_from(rows), source=tmp_path))
    assert "that are never mixed" in text
    assert 'id="scale-2"' in text


class Outline(HTMLParser):
    """Elements in order as (depth, name, attributes); what is not closed in turn is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[int, str, dict[str, str | None]]] = []
        self.around: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((len(self.around), tag, dict(attrs)))
        if tag not in ("meta", "input", "br"):
            self.around.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((len(self.around), tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.around.pop() == tag


def outline(text: str) -> list[tuple[int, str, dict[str, str | None]]]:
    reader = Outline()
    reader.feed(text)
    assert reader.around == []
    return reader.elements


def test_the_first_screen_has_the_answer_and_its_picture_and_the_rest_is_closed(page: Path) -> None:
    text = page.read_text()
    found = outline(text)
    first = text[text.index('id="answer"') : text.index('id="bar"')]
    assert all(
        said in first for said in ("Best for its size", "What to know", "What to run next", "tokens a parameter")
    )
    (drawn,) = [depth for depth, tag, attributes in found if attributes.get("id") == "picture"]
    assert drawn > 0
    assert first.index("<svg") < first.index("<table")
    parts = [attributes for _, tag, attributes in found if tag == "details" and attributes.get("class") == "part"]
    assert {"summary", "trials", "glossary", "scale-1-effects", "scale-1-exits"} <= {each["id"] for each in parts}
    assert not [each for each in parts if "open" in each]
    assert sum(tag == "summary" for _, tag, _ in found) == sum(tag == "details" for _, tag, _ in found)


def test_scale_and_metric_are_chosen_and_words_explained(page: Path, tmp_path: Path) -> None:
    found = outline(page.read_text())
    metrics = {attributes.get("data-metric") for _, tag, attributes in found if tag == "details"}
    assert {"ppl", "bpb"} <= metrics
    options = {attributes["value"] for _, tag, attributes in found if tag == "option"}
    assert options == metrics - {None}
    glossed = {attributes["title"] for _, tag, attributes in found if tag == "abbr"}
    assert {GLOSSARY["anchored"], GLOSSARY["undertrained"]} <= glossed <= set(GLOSSARY.values())
    rows = [trial_row(make_trial(bits=b, tokens=t), 3.0) for b in (16, 8) for t in (10_000, 20_000)]
    two = outline(html_page(analyse(results_from(rows), source=tmp_path)))
    assert [attributes["value"] for _, tag, attributes in two if tag == "option"][:3] == ["1", "2", "all"]
    assert {attributes.get("data-scale") for _, tag, attributes in two if tag == "details"} == {None, "1", "2"}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=25))
def test_the_front_is_what_nothing_beats(points: list[tuple[float, float]]) -> None:
    def beaten(one: tuple[float, float]) -> bool:
        return any(o[0] >= one[0] and o[1] <= one[1] and o != one for o in points)

    kept = front(points)
    assert {points[at] for at in kept} == {point for point in points if not beaten(point)}
    assert len({points[at] for at in kept}) == len(kept)
    assert [points[at][0] for at in kept] == sorted(points[at][0] for at in kept)


@pytest.mark.parametrize("axes", [{}, {"bits": 8}, {"weight_bits": 4, "weight_group": "32"}], ids=str)
def test_bytes_of_an_exit_are_those_of_the_shorter_model(axes: dict[str, object]) -> None:
    sizes = {"layers": 3, "width": 32, "heads": 4, "kv_heads": 2, "ffn_width": 64}
    for blocks in (1, 2, 3):
        shorter = make_trial(**axes, model={**sizes, "layers": blocks})
        whole = make_trial(**axes, model=sizes)
        assert exit_weight_bytes(whole, blocks) == weight_bytes(build_model(shorter))


def test_text_on_colours_is_readable() -> None:
    assert readable_on(1.0, 1.0, 1.0) == "#000000"
    assert readable_on(0.0, 0.2, 0.4) == "#ffffff"

"""The page as readers meet it: its first screen, its filters and its keys, in a browser, whatever was run."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from simulated_results import exit_rows, grid, results_from, simulate, single_effects, trial_row

from bitskip.report.html import html_page
from bitskip.report.summary import analyse
from bitskip.store.tables import Results, load_results, table_of
from bitskip.sweep.sweep_file import load_sweep
from bitskip.trial.config import POINTS, TrialConfig, make_trial

ROOT = Path(__file__).parents[2]
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 800}
VIEWS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": DESKTOP},
    "dark": {"viewport": DESKTOP, "color_scheme": "dark"},
    "phone": {"viewport": PHONE},
}
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
FIRST_PICTURE, MOST_SCREENS, MOST_BYTES = 900, 12, 3_000_000

pytestmark = pytest.mark.slow


def trained(trials: list[TrialConfig], seeds: int) -> Results:
    """With exits, curves and layers of each."""
    rows, exits, curves, layers = [], [], [], []
    for at, trial in enumerate(dataclasses.replace(each, seed=s) for each in trials for s in range(seeds)):
        loss = single_effects(trial) + 0.005 * (at % 7) + 0.1 * (trial.model.width < 100)
        rows.append(trial_row(trial, loss))
        exits += [e | {"decode_tokens_per_second": 100 * (1 + e["speed_gain"])} for e in exit_rows(trial, loss)]
        own = {"trial_id": trial.trial_id}
        curves += [own | {"step": k, "tokens": 1000 * k, "phase": "2", "val_loss": loss + 1 / k} for k in (1, 2, 4)]
        sample, block = {"step": 9, "site": "q", "kurtosis": 3.0}, {"step": 9, "site": "block", "exit_main_cosine": 0.5}
        layers += [own | sample | {"layer": layer, "snr_db": 20.0 + layer} for layer in (1, 2, 3)]
        layers += [own | block | {"layer": layer} for layer in (1, 2, 3)]
    more = {"curves": table_of("curves", curves), "layers": table_of("layers", layers)}
    return dataclasses.replace(results_from(rows, exits), **more)


def two_sizes() -> Results:
    axes: dict[str, Any] = {"bits": (16, 8, 4), "hadamard": ("none", "bitnet-v2"), "exit_weight": (0.0, 0.3)}
    return trained(grid(**axes, model=("pico", "nano"), tokens=(1_000_000,)), 3)


def thousand() -> Results:
    axes: dict[str, Any] = {"bits": (16, 8, 4), "hadamard": ("none", "bitnet-v2"), "exit_weight": (0.0, 0.3)}
    return trained(grid(**axes, model=[{"preset": "nano", "layers": 24}]), 84)


PAGES = {
    "quickstart": lambda: simulate(load_sweep(ROOT / "sweeps/quickstart.yaml").trials, single_effects),
    "reference": lambda: load_results(ROOT / "results/reference"),
    "ladder": lambda: load_results(ROOT / "results/ladder"),
    "two sizes": two_sizes,
    "one trial": lambda: trained([make_trial(**POINTS["V1"])], 1),
    "only failures": lambda: results_from([trial_row(make_trial(), None, status="error", reason="no disk")]),
    "1,000 x 24 exits": thousand,
}
NO_PICTURE = ("one trial", "only failures")
LARGE = ("reference", "ladder", "1,000 x 24 exits")
"""Held to axe-core in one view only, which takes it seconds."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The file of a page, by name."""
    folder, known = tmp_path_factory.mktemp("pages"), dict[str, Path]()

    def make(name: str) -> Path:
        if name not in known:
            shipped = ROOT / "results" / name
            known[name] = folder / f"{name.replace(' ', '-').replace(',', '')}.html"
            found = analyse(PAGES[name](), source=shipped if shipped.exists() else folder)
            known[name].write_text(html_page(found))
        return known[name]

    return make


@contextlib.contextmanager
def shown(browser: Any, page: Path, view: str = "desktop", address: str = "") -> Iterator[Any]:
    """A tab with the page. Nothing is asked of anybody, and nothing complained of."""
    # axe is put into the page, which its policy forbids to all but its own script.
    tab, told = browser.new_page(**VIEWS[view], bypass_csp=True), list[str]()
    tab.on("console", lambda message: told.append(message.text))
    tab.on("pageerror", lambda error: told.append(str(error)))
    tab.on("request", lambda asked: told.append(asked.url) if asked.url.split("#")[0] != page.as_uri() else None)
    tab.goto(page.as_uri() + address)
    yield tab
    tab.close()
    assert told == []


def violations(tab: Any) -> list[str]:
    """What axe-core finds against WCAG 2.2 AA and its own best practice."""
    axe = pytest.importorskip("axe_playwright_python.base")
    tab.evaluate(Path(axe.AXE_FILE_PATH).read_text())
    found = tab.evaluate("rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})", WCAG)
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found["violations"]]


@pytest.mark.parametrize("name", PAGES)
def test_the_first_screen_of(name: str, made: Any, browser: Any, tmp_path: Path) -> None:
    page = made(name)
    assert page.stat().st_size <= MOST_BYTES
    for view in VIEWS:
        with shown(browser, page, view) as tab:
            tab.screenshot(path=tmp_path / f"{view}.png", full_page=True)
            if name not in NO_PICTURE:
                assert tab.locator("#picture svg").bounding_box()["y"] < FIRST_PICTURE, view
            assert tab.evaluate("document.documentElement.scrollHeight / innerHeight") <= MOST_SCREENS, view
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
            if name not in LARGE or view == "phone":
                assert violations(tab) == [], view
            if view == "desktop" and name == "two sizes":
                tab.click("#open")
                assert violations(tab) == []


def test_five_questions_are_answered_on_the_first_screen(made: Any, browser: Any) -> None:
    """As text that stands above the fold of a desktop: what is best, what two do together, whether that holds with
    size, where to exit, and what to run next.
    """
    with shown(browser, made("two sizes")) as tab:
        seen = tab.evaluate("""[...document.querySelectorAll('#answer :is(td, p, pre, h2, caption)')]
            .map((each) => [each.getBoundingClientRect(), each.textContent])
            .filter(([box, text]) => box.height && box.bottom <= innerHeight).map(([box, text]) => text)""")
        text = " ".join(" ".join(seen).split())
    best, rest = text.split("Best for its size")[1].split("What to know")
    know, following = rest.split("What to run next")
    assert best.startswith(" no technique")
    assert "beyond what each does alone" in know
    assert "Over 2 scales it" in know
    assert "Exit " in know
    assert "perplexity" in know
    assert "bitskip " in following


DIMMED = """[...document.querySelectorAll('figure')].filter((figure) => figure.querySelector('svg')
    && figure.checkVisibility() && !figure.querySelector('.dim')).map((figure) => figure.id)"""


def test_a_filter_changes_every_figure(made: Any, browser: Any) -> None:
    with shown(browser, made("two sizes")) as tab:
        tab.click("#open")
        tab.fill("#filter", '"bits 8"')
        # How many runs the predictor needs is of no configuration.
        assert set(tab.evaluate(DIMMED)) <= {"predictor-learning-1"}
        address = "#" + tab.url.split("#")[1]
        lit = tab.locator(".tip:not(.dim)").count()
    with shown(browser, made("two sizes"), address=address) as again:
        assert again.locator(".tip:not(.dim)").count() == lit


def drag(tab: Any, figure: str, chosen: list[int]) -> None:
    """A box over some of a figure's marks."""
    boxes = [tab.locator(f"#{figure} .tip circle").nth(at).bounding_box() for at in chosen]
    left, top = (min(box[key] for box in boxes) - 4 for key in ("x", "y"))
    right, bottom = (max(b[key] + b[size] for b in boxes) + 4 for key, size in (("x", "width"), ("y", "height")))
    tab.mouse.move(left, top)
    tab.mouse.down()
    tab.mouse.move((left + right) / 2, (top + bottom) / 2)
    tab.mouse.move(right, bottom)
    tab.mouse.up()


def test_marks_are_brushed_by_pointer_and_by_keys(made: Any, browser: Any) -> None:
    """Techniques, seeds and sizes are alternatives of each other, in the address, and found in every figure."""
    with shown(browser, made("two sizes")) as tab:
        told = tab.evaluate(
            "[...document.querySelectorAll('#picture .tip title')].map((t) => t.textContent.split(':')[0])"
        )
        wanted = "|".join(f'"{name}"' for name in told[:2])
        drag(tab, "picture", [0, 1])
        assert tab.input_value("#filter") == wanted
        assert "q=" in tab.url
        assert tab.locator("#picture .tip.dim").count() > 0
        dimmed = tab.locator(".dim").count()
        tab.focus("#picture svg")
        tab.keyboard.press("Escape")
        assert (tab.input_value("#filter"), tab.locator(".dim").count()) == ("", 0)
        tab.keyboard.press("ArrowRight")
        tab.keyboard.press("Shift+ArrowRight")
        assert (tab.input_value("#filter"), tab.locator(".dim").count()) == (wanted, dimmed)
        tab.keyboard.press("Escape")
        tab.click("#pick summary")
        for term in ("seed 1", "seed 2"):
            tab.click(f"#chips >> text={term}")
        assert tab.input_value("#filter") == '"seed 1"|"seed 2"'
        trials = "document.querySelectorAll('#trials-table tbody tr:not(.away)').length"
        assert tab.evaluate(trials) == 2 * 2 * 12
        size = tab.locator("#chips button", has_text="size").first
        size.click()
        assert tab.evaluate(trials) == 2 * 12
        assert size.get_attribute("aria-pressed") == "true"
        assert tab.input_value("#filter").startswith('"seed 1"|"seed 2" "size ')


def test_sizes_are_brushed_along_a_ladder(made: Any, browser: Any) -> None:
    with shown(browser, made("ladder")) as tab:
        tab.evaluate("document.getElementById('ladder').open = true")
        box = tab.locator("#loss-by-compute svg").bounding_box()
        tab.locator("#loss-by-compute").scroll_into_view_if_needed()
        box = tab.locator("#loss-by-compute svg").bounding_box()
        tab.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.98 * box["height"])
        tab.mouse.down()
        tab.mouse.move(box["x"] + 0.97 * box["width"], box["y"] + 0.3 * box["height"], steps=3)
        tab.mouse.up()
        assert '"size 148 k"' in tab.input_value("#filter")
        assert 0 < tab.locator("#effect-by-scale .dim").count() < tab.locator("#effect-by-scale .tip").count()


def test_the_page_is_used_by_keyboard_alone(made: Any, browser: Any) -> None:
    """From the first Tab on: the table behind the picture, the filter, a part, its figures."""
    with shown(browser, made("quickstart")) as tab:
        reached = []
        for _ in range(40):
            tab.keyboard.press("Tab")
            reached.append(tab.evaluate("(e => e.id || e.closest('[id]')?.id)(document.activeElement)"))
            if reached[-1] == "summary":
                break
        assert {"picture", "metric", "filter", "pick", "open", "summary"} <= set(reached)
        tab.keyboard.press("Enter")
        assert tab.evaluate("document.getElementById('summary').open")


def test_print_has_all_parts_and_no_controls(made: Any, browser: Any, tmp_path: Path) -> None:
    with shown(browser, made("two sizes"), "dark") as tab:
        tab.emulate_media(media="print", color_scheme="dark")
        tab.evaluate("dispatchEvent(new Event('beforeprint'))")
        for control in ("#bar", "button.theme", "#tip"):
            assert tab.locator(control).is_hidden(), control
        assert tab.evaluate("document.querySelectorAll('details.part:not([open])').length") == 0
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        tab.set_viewport_size({"width": 720, "height": 1040})  # a page of A4
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "cut on paper"
        tab.pdf(path=tmp_path / "print.pdf", format="A4")
        assert (tmp_path / "print.pdf").stat().st_size > 100_000

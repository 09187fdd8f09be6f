"""The documentation of axes is the axes."""

from pathlib import Path

from bitskip.report.axes import axes_document
from bitskip.report.markdown import markdown

AXES_PAGE = Path(__file__).parent.parent / "docs" / "axes.md"


def test_axes_page_is_current() -> None:
    """Written with `bitskip axes --markdown > docs/axes.md`."""
    assert AXES_PAGE.read_text(encoding="utf-8") == markdown(axes_document())

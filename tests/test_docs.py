"""What the documentation says of axes and columns is what their declarations say."""

from datetime import datetime
from pathlib import Path

from bitskip.report.axes import axes_document
from bitskip.report.markdown import markdown
from bitskip.store.schema import APPENDED, TABLES, Status, axis_columns, columns

DOCS = Path(__file__).parent.parent / "docs"
AXES_PAGE, MEASURES_PAGE = DOCS / "axes.md", DOCS / "measures.md"
COLUMNS = "## Columns\n"
KINDS = {int: "int", float: "float", bool: "bool", str: "text", Status: "text", datetime: "time", list[float]: "floats"}


def columns_section() -> str:
    """The columns of all tables, from their declarations: the end of docs/measures.md."""
    of_axes = {each.name for each in axis_columns()} - {"artefact"}
    lines = [
        "",
        "Of the Parquet files in a sweep's folder, one folder a table. What is not known, or does not apply, is NULL.",
    ]
    for table in (*TABLES, *APPENDED):
        lines += ["", f"### `{table}`", ""]
        if table == "trials":
            lines += ["And every [axis](axes.md), dots in its name as underscores, between `tuned` and `artefact`.", ""]
        lines += ["| column | type | unit | meaning |", "| --- | --- | --- | --- |"]
        for each in columns(table):
            if table != "trials" or each.name not in of_axes:
                lines.append(f"| `{each.name}` | {KINDS[each.kind]} | {each.unit} | {each.meaning} |")
    return "\n".join(lines) + "\n"


def test_columns_of_the_measures_page_are_current() -> None:
    assert MEASURES_PAGE.read_text().partition(COLUMNS)[2] == columns_section()


def test_axes_page_is_current() -> None:
    """Written, as the columns are, with `python tests/test_docs.py`."""
    assert AXES_PAGE.read_text(encoding="utf-8") == markdown(axes_document())


if __name__ == "__main__":
    AXES_PAGE.write_text(markdown(axes_document()), encoding="utf-8")
    MEASURES_PAGE.write_text(MEASURES_PAGE.read_text().partition(COLUMNS)[0] + COLUMNS + columns_section())

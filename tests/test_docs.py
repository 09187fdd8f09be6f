"""The documentation of axes is the axes, that of columns the columns."""

from datetime import datetime
from pathlib import Path

from bitskip.store.schema import TABLES, Status, axis_columns, columns
from bitskip.trial.config import AXES, PRESETS

DOCS = Path(__file__).parent.parent / "docs"
AXES_PAGE, MEASURES_PAGE = DOCS / "axes.md", DOCS / "measures.md"
COLUMNS = "## Columns\n"
KINDS = {int: "int", float: "float", bool: "bool", str: "text", Status: "text", datetime: "time"}


def axes_page() -> str:
    """docs/axes.md, from the declarations: write both pages with `python tests/test_docs.py`."""
    lines = ["# Every axis", "", "Any of these can stand under `base`, `space`, a point or `exclude`.", ""]
    lines += ["| axis | meaning | values | default |", "| --- | --- | --- | --- |"]
    for entry in AXES.values():
        values = ", ".join(f"`{choice}`" for choice in entry.choices or ()) or entry.bounds() or entry.kind.__name__
        lines.append(f"| `{entry.name}` | {entry.doc} | {values} | `{entry.default!r}` |")
    lines += [
        "",
        "`bits` is 16 or 2 … 8; `weights` defaults to `ternary` below 16 bits; `hadamard` also takes booleans.",
    ]
    lines += [
        "",
        "## Model presets",
        "",
        "| `model` | layers | width | heads / kv | ffn |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, sizes in PRESETS.items():
        heads = f"{sizes.heads} / {sizes.kv_heads}"
        lines.append(f"| `{name}` | {sizes.layers} | {sizes.width} | {heads} | {sizes.ffn_width} |")
    return "\n".join(lines) + "\n"


def columns_section() -> str:
    """The columns of all tables, from their declarations: the end of docs/measures.md."""
    of_axes = {each.name for each in axis_columns()} - {"artefact"}
    lines = [
        "",
        "Of the Parquet files in a sweep's folder, one folder a table. What is not known, or does not apply, is NULL.",
    ]
    for table in TABLES:
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
    assert AXES_PAGE.read_text() == axes_page()


if __name__ == "__main__":
    AXES_PAGE.write_text(axes_page())
    MEASURES_PAGE.write_text(MEASURES_PAGE.read_text().partition(COLUMNS)[0] + COLUMNS + columns_section())

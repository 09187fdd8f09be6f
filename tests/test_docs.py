"""The documentation of axes is the axes."""

from pathlib import Path

from bitskip.trial.config import AXES, PRESETS

AXES_PAGE = Path(__file__).parent.parent / "docs" / "axes.md"


def axes_page() -> str:
    """docs/axes.md, from the declarations: write it with `python tests/test_docs.py`."""
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


def test_axes_page_is_current() -> None:
    assert AXES_PAGE.read_text() == axes_page()


if __name__ == "__main__":
    AXES_PAGE.write_text(axes_page())

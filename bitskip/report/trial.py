"""Everything that is known of one trial."""

from __future__ import annotations

from typing import Any

from bitskip.errors import UserError
from bitskip.results import Results


def trial_object(results: Results, trial_id: str) -> dict[str, Any]:
    """The trial's row, exits and curve. Raises UserError unless the id's beginning names exactly one trial."""
    rows = [row for row in results.trials.to_pylist() if row["trial_id"].startswith(trial_id)]
    if len(rows) != 1:
        found = ", ".join(row["trial_id"] for row in rows[:5])
        raise UserError(
            f"{trial_id}: {'several trials begin so: ' + found if rows else 'no such trial in these results'}"
        )
    row = rows[0]

    def of_trial(table: Any) -> list[dict[str, Any]]:
        return [
            {key: value for key, value in entry.items() if key != "trial_id"}
            for entry in table.to_pylist()
            if entry["trial_id"] == row["trial_id"]
        ]

    return {**row, "exits": of_trial(results.exits), "curves": of_trial(results.curves)}


def print_trial(found: dict[str, Any]) -> None:
    """Aligned names and values, then the exits and the curve as rows."""
    width = max(len(name) for name in found)
    for name, value in found.items():
        if not isinstance(value, list) or name == "data_files":
            print(f"{name:<{width}}  {_short(value)}")
    for name in ("exits", "curves"):
        print(f"\n{name}")
        for entry in found[name]:
            print("  " + "  ".join(f"{key}={_short(value)}" for key, value in entry.items()))


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "–" if value is None else str(value)

"""The command that trains a stored trial again, with the fewest settings that make it this trial."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bitskip.errors import UserError
from bitskip.sweep.located_yaml import parse_setting
from bitskip.trial.canonical_form import asked_split
from bitskip.trial.config import AXES, PLACES, PRESETS, TrialConfig, make_trial, stored_trial


def rerun_command(row: Mapping[str, Any]) -> str | None:
    """`bitskip train --set …` for a row of `trials`; None if this version no longer has such a trial.

    That is so where an axis or the method has changed since: the same settings would be another trial. Nor does bitskip
    train a model from elsewhere.
    """
    if row.get("model_parameters"):
        return None
    settings = rerun_settings(row)
    if settings is None:
        return None
    words = ["bitskip", "train"]
    for name, value in settings.items():
        words += ["--set", f"{name}={_yaml(name, value)}"]
    if row.get("device") and not str(row["device"]).startswith("cpu"):
        words += ["--device", "cuda"]
    if (row.get("threads") or 1) > 1:
        words += ["--threads", str(row["threads"])]
    return shlex.join(words)


def rerun_settings(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The settings that, left out one by one, would each make another trial; None if all together do."""
    values = {name: row[name.replace(".", "_")] for name in AXES if name not in PLACES}
    values = {name: tuple(value) if AXES[name].kind is tuple else value for name, value in values.items()}
    if row.get("model") in PRESETS:
        values = {"model": row["model"]} | {k: v for k, v in values.items() if not k.startswith("model.")}
    if not values["data.files"]:
        del values["data.files"]
    if not _is_of(values, row):
        return None
    named = {place for digest, place in PLACES.items() if row.get(digest.replace(".", "_"))}
    for name in [name for name in values if name not in named]:  # no part of the identity, and needed all the same
        fewer = {key: value for key, value in values.items() if key != name}
        if _is_of(fewer, row):
            values = fewer
    return values | asked_split(stored_trial(row).data)


def _is_of(settings: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    try:
        trial: TrialConfig = make_trial(**settings)
    except UserError:
        return False
    digests: dict[str, dict[str, Any]] = {}
    for name in PLACES:
        digests.setdefault(AXES[name].group, {})[AXES[name].field] = row.get(name.replace(".", "_")) or ""
    parts = {group: replace(getattr(trial, group), **found) for group, found in digests.items()}
    return bool(replace(trial, **parts).trial_id == row["trial_id"])


def _yaml(name: str, value: Any) -> str:
    """The value as `--set` reads it back, as plain as that allows."""
    plain = str(value)
    if isinstance(value, str) and parse_setting(f"{name}={plain}")[1] == value:
        return plain
    return json.dumps(value)

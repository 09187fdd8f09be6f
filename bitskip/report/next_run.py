"""The one command that would teach most next, with the reason."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path

from bitskip.analysis.effects import NOT_ESTIMABLE
from bitskip.analysis.regime import UNDERTRAINED, UNTRAINED
from bitskip.errors import UserError
from bitskip.report.summary import Analysis, Sheet
from bitskip.store.folder import stored_design
from bitskip.store.stored_design import PROGRAMS, read_design
from bitskip.sweep.located_yaml import Source
from bitskip.sweep.sweep_file import load_sweep
from bitskip.trial.config import PRESETS, TrainingConfig
from bitskip.trial.cost import FEWEST_TOKENS_PER_PARAMETER, non_embedding_parameters

MORE_SEEDS = 2


def next_run(analysis: Analysis) -> tuple[str, str]:
    """(reason, command): what is missing most, from no trial at all to another size."""
    folder = shlex.quote(str(analysis.source))
    if not analysis.report.overview.trials:
        return "Nothing has run.", "bitskip sweep sweeps/quickstart.yaml"
    sheet = next(iter(analysis.sheets), None)
    if sheet is None:
        return "All trials carry a published defect: they stand apart.", f"bitskip report {folder} --only causes"
    if not sheet.section.finished:
        return "No trial has a result.", f"bitskip report {folder} --only failures"
    section, regime = sheet.section, sheet.section.regime
    if len(section.leaderboard) < 2:
        return "One configuration has a result, and nothing to compare it with.", f"bitskip suggest --results {folder}"
    design, root = _design(analysis, sheet)
    again = f"bitskip sweep {shlex.quote(str(design))} --results {shlex.quote(str(root))}"
    if regime.elsewhere and not any(read_design(design).get(key) for key in PROGRAMS):
        return "Trained elsewhere; what to train there next:", f"bitskip suggest --results {folder}"
    ladder = _has_ladder(design)
    if ladder and (left := _unfinished(analysis, design, root)):
        return f"{left} trials of the ladder have not run.", again
    if regime.mark == UNTRAINED:
        longer = 4 * int((read_design(design).get("base") or {}).get("eval_tokens") or TrainingConfig().eval_tokens)
        return "More held-out text narrows the intervals.", f"{again} --set base.eval_tokens={longer}"
    if section.seeds.paired_sd is None:
        return "No seed was repeated, so nothing has an interval.", f"{again} --set seeds={MORE_SEEDS}"
    if ladder:
        return "The ladder was run; the next rung worth its hours:", f"bitskip suggest --results {folder}"
    sizes = {each.section.regime.parameters for each in analysis.sheets}
    if UNDERTRAINED in regime.mark and len(sizes) == 1:
        reason = f"Undertrained: {FEWEST_TOKENS_PER_PARAMETER} tokens a parameter is the least that says more."
        return reason, f"{again} --set base.tokens={FEWEST_TOKENS_PER_PARAMETER * regime.parameters}"
    effects = [e for e in (*section.main_effects, *section.composition_effects) if e.estimand == "anchored"]
    missing = sum(effect.verdict == NOT_ESTIMABLE for effect in effects)
    if missing:
        reason = f"{missing} of {len(effects)} effects are not estimable: cells with their techniques were not run."
        return reason, f"bitskip suggest --crossed --results {folder}"
    if len(sizes) > 1:
        return "Several sizes were run; the next configurations:", f"bitskip suggest --results {folder}"
    more = [effect.more_seeds for effect in section.composition_effects if effect.more_seeds]
    seeds = max(each.seeds for each in section.leaderboard)
    if more and min(more) <= seeds:
        return f"{min(more)} more seeds may settle a pair.", f"{again} --set seeds={seeds + min(more)}"
    presets = list(PRESETS)
    model = str(sheet.stratum.cells[0].rows[0].get("model"))
    for larger in presets[presets.index(model) + 1 :][:1] if model in presets else []:
        tokens = round(regime.tokens_per_parameter * non_embedding_parameters(PRESETS[larger]))
        reason = "Whether it holds at another size is not known."
        return reason, f"{again} --set base.model={larger} --set base.tokens={tokens}"
    return "What was measured is decided; the next configurations:", f"bitskip suggest --results {folder}"


def _design(analysis: Analysis, sheet: Sheet) -> tuple[Path, Path]:
    """The design of the sweep with most trials of this scale, and its results; FILE where it is not beside them."""
    ran = Counter(str(row.get("sweep")) for cell in sheet.stratum.cells for row in cell.rows)
    design = stored_design(analysis.source, ran.most_common(1)[0][0])
    return (design, design.parent.parent) if design else (Path("FILE"), analysis.source)


def _has_ladder(design: Path) -> bool:
    """Whether a design has rungs, which set model and tokens; not where there is no file that can be read."""
    try:
        return Source.read(design).content.get("ladder") is not None
    except UserError:
        return False


def _unfinished(analysis: Analysis, design: Path, root: Path) -> int:
    """How many trials of a design have no row; none where it cannot be read here, as without its text."""
    try:
        trials = load_sweep(design, results=root).trials
    except UserError:
        return 0
    return len({trial.trial_id for trial in trials} - set(analysis.results.trials["trial_id"].to_pylist()))

"""Sweep files: expansion against hand counts and a brute-force twin, merging, and every message a user can meet."""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from bitskip.errors import UserError
from bitskip.store.tables import ledger_of
from bitskip.sweep import sweep_file
from bitskip.sweep.resources import Resources
from bitskip.sweep.sweep_file import MAX_POINTS, Sweep, load_sweep
from bitskip.techniques import registry
from bitskip.trial import config
from bitskip.trial.config import AXES, make_trial

SWEEPS = Path(__file__).parents[2] / "sweeps"


@pytest.fixture
def load(tmp_path):
    """Loads a sweep given as YAML text or plain data."""

    def loaded(content: Any, profile: str | None = None, overrides: tuple[str, ...] = ()) -> Sweep:
        path = tmp_path / "x.yaml"
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            with path.open("w") as sink:
                YAML(typ="safe").dump(content, sink)
        return load_sweep(path, profile, overrides)

    return loaded


def ids(sweep: Sweep) -> set[str]:
    return {trial.trial_id for trial in sweep.trials}


# Expansion


def test_full_grid_by_hand(load):
    sweep = load_sweep(SWEEPS / "full_grid.yaml")
    # 3 bits x 2 hadamard x 2 dropout x 2 exit weights x 3 phases, and 4 points, 2 seeds each.
    assert sweep.cells == (72 + 4) * 2
    assert dict(sweep.excluded) == {"{bits: 16, hadamard: bitnet-v2}": 12 * 2}
    # 5 quantizations x (phase 1; 3 of dropout and exit weight in each of phase 2 and 1+2); V1… lie in the grid.
    assert len(sweep.trials) == 5 * (1 + 3 * 2) * 2
    assert set(sweep.points.values()) == {"baseline", "V1", "V2", "V3"}
    assert sum(sweep.point_of(trial) is not None for trial in sweep.trials) == 4 * 2


OF_PRETRAINED = SWEEPS / "pretrained.yaml"
"""Needs a model; tests/model/test_pretrained.py runs it."""


@pytest.mark.parametrize("path", sorted({*SWEEPS.glob("*.yaml")} - {OF_PRETRAINED}), ids=lambda path: path.name)
def test_the_sweeps_we_ship_load_with_every_profile(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    profiles = YAML(typ="safe").load(path.read_text()).get("profiles") or {}
    for name, profile in {None: {}, **profiles}.items():
        data = profile.get("base", {}).get("data", {})
        for file in data["files"] if isinstance(data, dict) and "files" in data else ():
            Path(file).write_text("Text that the user brings along.")
        sweep = load_sweep(path, name)
        assert sweep.trials
        rates = ("lr tuned by configuration", "lr is known for")
        assert [note for note in sweep.notes if not note.startswith(rates)] == []


@pytest.mark.parametrize(
    ("space", "distinct"),
    [
        ({"bits": [16, 8, 4]}, 3),
        ({"bits": [16, 8], "hadamard": [False, True]}, 4),
        ({"dropout": ["none"], "dropout_max": [0.1, 0.5], "dropout_norm": ["none", "sum1"]}, 1),
        ({"dropout": ["none", "quadratic"], "dropout_max": [0.1, 0.5]}, 3),
        ({"exit_weight": [0.0, 0.3], "exit_scale": ["uniform", "triangular"]}, 3),
        ({"phase": [1, 2, "1+2"]}, 1),  # with no dropout and no exit loss, phase 2 is phase 1
        ({"phase": [1], "dropout": ["none", "linear"], "exit_weight": [0, 1]}, 1),
        ({"phase": [1, 2], "dropout": ["none", "linear"]}, 2),
        ({"bits": [16, 8], "weights": ["full", "ternary"]}, 4),
        ({"model": ["nano", "micro"], "model.layers": [2, 4]}, 4),
        ({"data": ["stories", {"corpus": "stories", "tokenizer": "bytes"}]}, 2),
    ],
)
def test_equal_trials_collapse(load, space, distinct):
    sweep = load({"space": space})
    assert len(sweep.trials) == distinct
    cells = 1
    for values in space.values():
        cells *= len(values)
    assert sweep.cells == cells


LEVELS = {
    "bits": [16, 8, 4],
    "hadamard": ["none", "bitnet-v2", "random-sign"],
    "dropout": ["none", "linear", "quadratic"],
    "dropout_max": [0.1, 0.3],
    "exit_weight": [0.0, 0.3],
    "phase": ["1", "2", "1+2"],
}
spaces = st.fixed_dictionaries(
    {}, optional={name: st.lists(st.sampled_from(v), min_size=1, unique=True) for name, v in LEVELS.items()}
).filter(bool)
rules = st.lists(
    st.fixed_dictionaries({}, optional={n: st.sampled_from(v) for n, v in LEVELS.items()}).filter(bool), max_size=3
)
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def brute_force(space: dict[str, list[Any]], exclude: list[dict[str, Any]], seeds: list[int]) -> tuple[set[str], int]:
    """Trial ids and excluded points, the long way: a cell falls to a rule as written or as it will run."""
    found, dropped = set(), 0
    for values in itertools.product(*space.values()):
        cell = dict(zip(space, values, strict=True))
        runs = make_trial(**cell)
        canonical = {name: axis.read(runs) for name, axis in AXES.items()}
        forms = (canonical, canonical | cell)
        if any(all(form[k] == v for k, v in rule.items()) for rule in exclude for form in forms):
            dropped += len(seeds)
            continue
        found |= {make_trial(**cell, seed=seed).trial_id for seed in seeds}
    return found, dropped


@quick
@given(space=spaces, exclude=rules, seeds=st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True))
def test_expansion_equals_brute_force(load, space, exclude, seeds):
    expected, dropped = brute_force(space, exclude, seeds)
    content = {"space": space, "exclude": exclude, "seeds": seeds}
    if not expected:
        with pytest.raises(UserError, match="every cell of the space is excluded"):
            load(content)
        return
    sweep = load(content)
    assert ids(sweep) == expected
    assert len(sweep.trials) == len(expected)
    assert sum(sweep.excluded.values()) == dropped
    assert {trial.seed for trial in sweep.trials} == set(seeds)


@quick
@given(space=spaces, data=st.data())
def test_expansion_ignores_the_order_of_axes_and_levels(load, space, data):
    shuffled = {
        name: data.draw(st.permutations(space[name])) for name in data.draw(st.permutations(sorted(space)))
    }  # fmt: skip
    assert ids(load({"space": space})) == ids(load({"space": shuffled}))


def test_loading_again_gives_the_same_trials_in_the_same_order(load):
    content = {"space": LEVELS, "design": {"random": 7}, "points": ["V1"], "seeds": 2}
    assert load(content).trials == load(content).trials


def test_the_resolved_file_is_the_same_sweep(load):
    first = load(SWEEPS.joinpath("full_grid.yaml").read_text(), "gpu", ("base.model.layers=2", "space.bits=[8, 4]"))
    again = load(dict(first.resolved))
    assert ids(again) == ids(first)
    assert (again.points, again.resources, again.name) == (first.points, first.resources, "full_grid_gpu")


def test_a_stored_design_may_name_a_resource_that_is_no_more(tmp_path):
    """Results outlive options: a folder whose `sweep.yaml` still says `pack` is read, watched and run as before."""
    stored = tmp_path / "sweep.yaml"
    stored.write_text("name: s\nspace: {bits: [16, 8]}\nresources: {cpus: 2, pack: 8}\n")
    sweep = load_sweep(stored)
    assert (len(sweep.trials), sweep.resources) == (2, Resources(cpus=2))


def test_ten_thousand_points_expand_within_seconds(load):
    lr = [round(1e-3 + i * 1e-4, 6) for i in range(25)]
    space = {"bits": [16, 8, 4, 2], "hadamard": ["none", "bitnet-v2"], "lr": lr, "warmup": [0.1, 0.2, 0.3, 0.4, 0.5]}
    started = time.process_time()
    sweep = load({"space": space, "seeds": 10})
    assert len(sweep.trials) == sweep.cells == 10_000
    assert time.process_time() - started < 6  # 1.1 s on a slow core; the bound catches a quadratic step


# Seeds, points, exclusion, designs


@pytest.mark.parametrize(("seeds", "expected"), [(3, {0, 1, 2}), ([7, 1], {1, 7}), (1, {0})])
def test_seeds_cross_everything(load, seeds, expected):
    sweep = load({"space": {"bits": [16, 8]}, "points": ["V2"], "seeds": seeds})
    assert {trial.seed for trial in sweep.trials} == expected
    assert len(sweep.trials) == 3 * len(expected)
    assert len({trial.configuration_id for trial in sweep.trials}) == 3


def test_points_take_their_definition_merge_over_base_and_keep_their_name(load):
    base = {"lr": 1e-3, "dropout": "linear"}
    forms: list[Any] = [["V1"], {"V1": None}, {"V1": {"bits": 8, "dropout": "quadratic", "dropout_max": 0.5}
                        | {"exit_weight": 0.3, "phase": 2}}]  # fmt: skip
    expected = make_trial(
        lr=1e-3, bits=8, hadamard=False, dropout="quadratic", dropout_max=0.5, exit_weight=0.3, phase=2
    )
    for points in forms:
        sweep = load({"base": base, "points": points})
        assert sweep.trials == (expected,)
        assert sweep.point_of(expected) == "V1"


def test_a_recipe_stands_for_its_axes_but_for_those_that_are_named(load):
    modern = {"model.init": "fan-in", "model.qk_norm": True, "model.tie_embeddings": True, "z_loss": 1e-4}
    space = {"bits": [16]}
    (trial,) = load({"base": {"recipe": "modern", "model": "pico"}, "space": space}).trials
    assert trial == make_trial(model="pico", **modern)
    assert trial.axes()["model"] == "pico modern"
    for base in ({"model.init": "normal", "z_loss": 0.0}, {"model": {"init": "normal"}, "z_loss": 0.0}):
        sweep = load({"base": {**base, "recipe": "modern"}, "space": space})
        assert sweep.trials == (make_trial(**{**modern, "model.init": "normal", "z_loss": 0.0}),)
        assert "recipe" not in sweep.resolved["base"]
        assert load(sweep.resolved).trials == sweep.trials
    with pytest.raises(UserError, match="unknown recipe 'modrn'; did you mean 'modern'"):
        load({"base": {"recipe": "modrn"}, "space": space})


def test_a_grid_cell_that_equals_a_point_bears_its_name(load):
    sweep = load({"space": {"bits": [8, 4]}, "points": {"mine": {"bits": 8, "dropout_max": 0.7}}})
    assert [(trial["bits"], sweep.point_of(trial)) for trial in sweep.trials] == [(8, "mine"), (4, None)]


def test_exclusion_spares_named_points_takes_lists_and_notes_idle_rules(load):
    content = {
        "space": {"bits": [16, 8, 4], "hadamard": [False, True]},
        "points": {"p": {"bits": 8, "hadamard": True}},
        "exclude": [{"bits": ["8", 4], "hadamard": True}, {"bits": 2}],
    }
    sweep = load(content)
    assert {(t["bits"], t["hadamard"]) for t in sweep.trials} == {
        (16, "none"), (16, "bitnet-v2"), (8, "none"), (4, "none"), (8, "bitnet-v2"),
    }  # fmt: skip
    assert dict(sweep.excluded) == {"{bits: ['8', 4], hadamard: True}": 2, "{bits: 2}": 0}
    assert sweep.notes == ("the rule {bits: 2} excludes nothing",)


def test_exclusion_takes_out_what_can_be_no_trial(load):
    space = {"weights": ["full", "ternary"], "weight_bits": [16, 4]}
    sweep = load({"space": space, "exclude": [{"weights": "ternary", "weight_bits": 4}]})
    assert {(t["weights"], t["weight_bits"]) for t in sweep.trials} == {("full", 16), ("full", 4), ("ternary", 16)}
    assert list(sweep.excluded.values()) == [1]
    with pytest.raises(UserError, match="exclude each other"):
        load({"space": space, "exclude": [{"weights": "full", "weight_bits": 4}]})


def test_an_alternative_that_names_several_axes_matches_as_a_whole(load):
    model = [{"preset": "nano", "layers": 8}, "nano", "micro"]  # the first has micro's depth and nano's widths
    sweep = load({"space": {"model": model}, "exclude": [{"model": ["nano", "micro"]}]})
    assert [trial.model.layers for trial in sweep.trials] == [8]


def test_exclusion_sees_cells_as_written_and_as_they_run(load):
    space = {"phase": [1, 2], "dropout": ["none", "quadratic"]}
    assert sum(load({"space": space, "exclude": [{"phase": 1, "dropout": "quadratic"}]}).excluded.values()) == 1
    (left,) = load({"space": space, "exclude": [{"phase": 1}]}).trials
    assert (left["phase"], left["dropout"]) == ("2", "quadratic")


TUNED = {
    "base": {"lr": 8e-3},
    "space": {"bits": [16, 8, 4], "hadamard": ["none", "bitnet-v2"]},
    "points": {"V1": None},
    "tuned": {
        "lr": [{"bits": 16, "use": 4e-3}, {"bits": [8, 4], "hadamard": False, "use": 2e-3}, {"bits": 8, "use": 1}],
    },
    "seeds": 2,
}


def test_a_tuned_setting_follows_the_configuration_and_the_first_rule_that_matches(load):
    sweep = load(TUNED)
    rates = {(t["bits"], t["hadamard"]): t.training.lr for t in sweep.trials if t["phase"] == "1"}
    assert rates == {
        (16, "none"): 4e-3, (16, "bitnet-v2"): 4e-3, (8, "none"): 2e-3, (8, "bitnet-v2"): 1.0,
        (4, "none"): 2e-3, (4, "bitnet-v2"): 8e-3,
    }  # fmt: skip
    (point,) = {t.training.lr for t in sweep.trials if sweep.point_of(t) == "V1"}
    assert point == 2e-3
    assert sweep.tuned == ("lr",)
    assert ids(load(dict(sweep.resolved))) == ids(sweep)
    assert load({**TUNED, "tuned": {"lr": []}}).tuned == ("lr",)
    assert "0.004 in 2, " in sweep.notes[-1]
    idle = load({**TUNED, "tuned": {"lr": [{"bits": 6, "use": 1}]}})
    assert idle.notes[-1] == "the rule of tuned.lr that uses 1 matches nothing"


def test_a_random_design_draws_configurations_with_all_seeds_and_keeps_points(load):
    content = {"space": {"lr": [i / 1000 for i in range(1, 41)]}, "points": ["V3"], "seeds": 2}
    everything = load(content)
    some = load(content | {"design": {"random": 5}})
    assert len(some.trials) == (5 + 1) * 2
    assert ids(some) < ids(everything)
    assert some.design == "random: 5"
    assert len(load(content | {"design": {"random": 500}}).trials) == len(everything.trials)


def test_a_random_design_counts_distinct_configurations(load):
    content = {"space": {"phase": [1, 2, "1+2"], "bits": [16, 8, 4]}, "design": {"random": 3}}
    assert len(load(content).trials) == 3


# Merging


def test_a_profile_merges_deeply_over_the_rest(load):
    content = {
        "base": {"model": "nano", "data": "stories", "lr": 1e-3, "tokens": 1000},
        "space": {"bits": [16, 8]},
        "resources": {"cpus": 2},
        "profiles": {"gpu": {"name": "g", "base": {"model": {"layers": 2}, "tokens": "2_000"}, "seeds": 2}},
    }
    content["profiles"]["gpu"] |= {"space": {"hadamard": [True]}, "resources": {"gpus": 0.25}}
    sweep = load(content, "gpu")
    assert (sweep.name, sweep.resources) == ("g", Resources(cpus=2, gpus=0.25))
    for bits, seed in itertools.product((16, 8), (0, 1)):
        expected = make_trial(bits=bits, hadamard=True, lr=1e-3, tokens=2000, seed=seed, **{"model.layers": 2})
        assert expected in sweep.trials
    assert "profiles" not in sweep.resolved
    assert load(content).trials[0].model.layers == 6


@pytest.mark.parametrize(
    ("base", "override", "expected"),
    [
        ({"model": "nano"}, "base.model.layers=2", {"model": {"preset": "nano", "layers": 2}}),
        ({"model": "nano", "model.layers": 4}, "base.model.layers=2", {"model.layers": 2}),
        ({"model": "nano", "model.layers": 4}, "base={model.layers: 2}", {"model.layers": 2}),
        ({"model": {"layers": 4}}, "base.model=micro", {"model": "micro"}),
        ({"model": {"layers": 4}, "lr": 1e-3}, "base.model={width: 32}", {"model": {"width": 32}, "lr": 1e-3}),
        ({"lr": 1e-3, "tokens": 999}, "base={model: {layers: 2}, lr: 1e-4}", {"model.layers": 2, "lr": 1e-4}),
        ({"tokens": 5}, "base.tokens=400_000", {"tokens": 400_000}),
        ({}, "base.lr=1e-3", {"lr": 1e-3}),
        (None, "base.lr=1e-3", {"lr": 1e-3}),
        ({"data": "stories"}, "base.data.vocab_size=512", {"data": {"corpus": "stories", "vocab_size": 512}}),
        ({"hadamard": False}, "base.hadamard=true", {"hadamard": "bitnet-v2"}),
    ],
)
def test_overrides_of_base(load, base, override, expected):
    sweep = load({"base": base, "space": {"bits": [8]}}, overrides=(override,))
    assert sweep.trials == (make_trial(bits=8, **expected),)


def test_overrides_elsewhere(load):
    content = {"name": "a", "space": {"bits": [16]}, "points": ["V1"], "design": "full"}
    overrides = ("space.bits=[8, 4]", "space.model.layers=[2, 4]", "seeds=3", "name=b", "resources.cpus=0.5")
    sweep = load(content, overrides=(*overrides, "points.V1.lr=1e-4", "design.random=2"))
    assert (sweep.name, sweep.resources.cpus, sweep.cells, sweep.design) == ("b", 0.5, (4 + 1) * 3, "random: 2")
    assert len(sweep.trials) == (2 + 1) * 3
    (v1,) = {trial.configuration_id for trial in sweep.trials if sweep.point_of(trial) == "V1"}
    assert (
        v1
        == make_trial(bits=8, lr=1e-4, dropout="quadratic", dropout_max=0.5, exit_weight=0.3, phase=2).configuration_id
    )


# Text files


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("Once upon a time.\n\n" * 30)
    return path


@pytest.mark.parametrize("content", [
    {"base": {"data": "stories"}, "space": {"bits": [8]}},
    {"base": {"data": {"corpus": "stories", "vocab_size": 1024}}, "space": {"bits": [8]}},
    {"base": {"data.corpus": "stories"}, "points": {"p": {"bits": 8}}},
])  # fmt: skip
def test_files_replace_an_inherited_corpus_and_get_a_digest(load, text, content):
    (trial,) = load(content, overrides=(f"base.data.files=['{text}']",)).trials
    assert (trial.data.corpus, trial.data.files, len(trial.data.digest)) == ("files", (str(text),), 64)


def test_the_text_is_the_identity_not_where_it_lies(load, text, tmp_path):
    elsewhere = tmp_path / "copy.txt"
    elsewhere.write_text(text.read_text())
    content = {"base": {"data.files": [str(text)]}, "space": {"bits": [8]}}
    first = load(content)
    assert ids(first) == ids(load(content, overrides=(f"base.data.files=['{elsewhere}']",)))
    elsewhere.write_text(text.read_text() + "The end.")
    assert ids(first) != ids(load(content, overrides=(f"base.data.files=['{elsewhere}']",)))


def test_a_tokenizer_file_gets_a_digest_or_is_named_with_its_line(load, tmp_path):
    file = tmp_path / "tok.json"
    content = f"base:\n  data: {{tokenizer: {file}, vocab_size: 300}}\nspace: {{bits: [16, 8]}}\n"
    with pytest.raises(UserError, match=r":2: data\.tokenizer: cannot load .*No such file"):
        load(content)
    file.write_text("{}")
    first = ids(load(content))
    assert {len(trial.data.tokenizer_digest) for trial in load(content).trials} == {64}
    file.write_text("[]")
    assert len(first) == 2
    assert first.isdisjoint(ids(load(content)))


def test_another_corpus_drops_inherited_files(load, text):
    content = {"base": {"data": {"files": [str(text)], "vocab_size": 512}}, "space": {"bits": [8]}}
    (trial,) = load(content, overrides=("base.data.corpus=stories",)).trials
    assert (trial.data.files, trial.data.digest, trial.data.vocab_size) == ((), "", 512)
    both = load({"base": {"data": {"files": [str(text)]}}, "space": {"data": ["stories", {"files": [str(text)]}]}})
    assert [trial.data.corpus for trial in both.trials] == ["stories", "files"]


def test_a_missing_text_file_is_named_with_its_line(load):
    with pytest.raises(UserError, match=r"x\.yaml:3: data\.files: no such file: nowhere\.txt"):
        load("base:\n  lr: 1e-3\n  data: {files: [nowhere.txt]}\nspace: {bits: [8]}\n")


# Plug-ins


def test_plugins_are_imported_before_axes_are_checked_and_stay_in_the_resolved_file(load, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("first_technique", "second_technique"):
        (tmp_path / f"{name}.py").write_text(
            "from dataclasses import dataclass\nimport bitskip\n@dataclass(frozen=True)\n"
            f"class Added(bitskip.Technique):\n    {name}: float = bitskip.axis(0.0, 'an axis')\n"
        )
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(registry, "_named", [])
    content = {"plugins": ["first_technique"], "space": {"bits": [16, 8]}}
    sweep = load(content)
    assert sweep.plugins == ("first_technique",)
    assert sweep.resolved["plugins"] == ["first_technique"]
    assert "first_technique" in sys.modules
    assert load(dict(sweep.resolved)).plugins == sweep.plugins
    assert load({**content, "profiles": {"p": {"plugins": ["second_technique"]}}}, "p").plugins == ("second_technique",)
    assert load(content, overrides=("plugins=[second_technique]",)).plugins == ("second_technique",)
    assert load({"space": {"bits": [8]}}).plugins == ()
    assert len(load({**content, "space": {"first_technique": [0, 0.5]}}).trials) == 2
    registry.Table.clear()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "plugins:\n- bitskip.techniques.rotation\n- no_such_technique\nspace: {bit: [8]}\n",
            r"x\.yaml:3: .*no_such_technique",
        ),
        ("plugins: json\nspace: {bits: [8]}\n", r"x\.yaml:1: plugins: expected a list of modules, .*, got 'json'"),
        ("plugins: [json]\nspace: {bits: [8]}\n", r"x\.yaml:1: plugins: json defines no technique"),
        ("plugins: [3]\nspace: {bits: [8]}\n", r"x\.yaml:1: plugins: expected a list of modules, .*, got \[3\]"),
    ],
)
def test_messages_about_plugins(load, text, message):
    with pytest.raises(UserError, match=message):
        load(text)


# Messages

GOOD = "name: x\nbase: {lr: 1e-3}\nspace:\n  bits: [16, 8]\n"
MESSAGES = [
    ("space:\n  bit: [8]\n", "x.yaml:2: unknown axis 'bit' in space; did you mean 'bits'?"),
    ("base:\n  modle: nano\nspace: {bits: [8]}\n", "x.yaml:2: unknown axis 'modle' in base; did you mean 'model'?"),
    ("base:\n  model.layer: 2\n", "x.yaml:2: model: unknown key 'layer'; did you mean 'layers'?"),
    ("base:\n  model:\n    width: 8\n    layer: 2\n", "x.yaml:4: model: unknown key 'layer'; did you mean 'layers'?"),
    ("base:\n  model:\n    layers: 2\n    width: x\n", "x.yaml:4: model.width: expected a whole number, got 'x'"),
    ("base:\n  model: nan\n", "x.yaml:2: model: unknown preset 'nan'; did you mean 'nano'?"),
    ("points:\n  p:\n    bit: 8\n", "x.yaml:3: unknown axis 'bit' in points; did you mean 'bits'?"),
    ("points:\n  p: 8\n", "x.yaml:2: p: expected a mapping, got 8"),
    ("points:\n  V9:\n", "x.yaml:2: points: unknown point 'V9'; did you mean 'V3'? (or write its axes)"),
    ("points:\n- V1\n- base\n", "x.yaml:3: points: unknown point 'base'; did you mean 'baseline'? (or write its axes)"),
    ("points:\n- V1\n- {V2: 1}\n", "x.yaml:3: points: expected the name of a known point, got {'V2': 1}"),
    ("points: 3\n", "x.yaml:1: points: expected a mapping, got 3"),
    (GOOD + "exclude:\n- bit: 8\n", "x.yaml:6: unknown axis 'bit' in exclude; did you mean 'bits'?"),
    (GOOD + "exclude:\n- bits: 9\n", "x.yaml:6: bits: 9 is not one of 2…8 or 16 (not quantized)"),
    (GOOD + "exclude: {bits: 8}\n", "x.yaml:5: exclude: expected a list of mappings, such as [{bits: 16, hada"),
    (GOOD + "exclude: [8]\n", "x.yaml:5: exclude: expected a mapping of axes, got 8"),
    (GOOD + "exclude:\n- bits: [16, 8]\n", "x.yaml:5: every cell of the space is excluded: nothing to run"),
    ("space:\n  bits: [16, 9]\n", "x.yaml:2: bits: 9 is not one of 2…8 or 16 (not quantized)"),
    ("base:\n  bits: 9\n", "x.yaml:2: bits: 9 is not one of 2…8 or 16 (not quantized)"),
    ("space:\n  bits: [16, eight]\n", "x.yaml:2: bits: expected a whole number, got 'eight'"),
    ("space:\n  bits: [16, .nan]\n", "x.yaml:2: bits: expected a whole number, got nan"),
    ("space:\n  dropout: [linaer]\n", "x.yaml:2: dropout: unknown value 'linaer'; did you mean 'linear'? (one of"),
    ("space:\n  lr: [true]\n", "x.yaml:2: lr: expected a finite number, got True"),
    ("space:\n  dropout_max: [1.0]\n", "x.yaml:2: dropout_max: 1.0 is out of range (at least 0, below 1)"),
    ("space:\n  bits: 8\n", "x.yaml:2: bits: expected a list of levels, got 8; write [8]"),
    ("space:\n  bits:\n", "x.yaml:2: bits: expected a list of levels, got None; write a list"),
    ("space:\n  bits: []\n", "x.yaml:2: bits: the list of levels is empty"),
    ("space:\n  bits: [8, '8']\n", "x.yaml:2: bits: a level is listed twice in [8, '8']"),
    ("space:\n  hadamard: [true, bitnet-v2]\n", "x.yaml:2: hadamard: a level is listed twice in [True, 'bitnet-v2']"),
    ("space: [8]\n", "x.yaml:1: space: expected a mapping, got [8]"),
    ("space: {}\n", "x.yaml:1: the space is empty and no points are named: nothing to run"),
    ("name: x\n", "x.yaml: the space is empty and no points are named: nothing to run"),
    ("base: nano\nspace: {bits: [8]}\n", "x.yaml:1: base: expected a mapping, got 'nano'"),
    ("base:\n  seed: 3\n", "x.yaml:2: the seed is no axis of a sweep: write `seeds: 3` or `seeds: [0, 1, 2]`"),
    ("space:\n  seed: [3]\n", "x.yaml:2: the seed is no axis of a sweep: write"),
    (GOOD + "seeds: 0\n", "x.yaml:5: seeds: expected a count or a list of distinct whole numbers, got 0"),
    (GOOD + "seeds: [1, 1]\n", "x.yaml:5: seeds: expected a count or a list of distinct whole numbers, got [1, 1]"),
    (GOOD + "seeds: [-1]\n", "x.yaml:5: seeds: expected a count or a list"),
    (GOOD + "seeds: true\n", "x.yaml:5: seeds: expected a count or a list"),
    (GOOD + "seeds: 1.5\n", "x.yaml:5: seeds: expected a count or a list"),
    (GOOD + "seeds: 100000000000\n", "x.yaml:5: seeds: 100,000,000,000 are more than 1,000,000"),
    (GOOD + "seeds: 900000\n", "x.yaml:3: the space has 1,800,000 points, more than 1,000,000"),
    (GOOD + "sedes: 3\n", "x.yaml:5: unknown top-level key 'sedes'; did you mean 'seeds'?"),
    (GOOD + "design: fractional\n", "x.yaml:5: design: write {fractional: n} with n"),
    (GOOD + "design: {randm: 3}\n", "x.yaml:5: design: unknown design 'randm'; did you mean 'random'? (one of full"),
    (GOOD + "design: {random: 3, full: 1}\n", "x.yaml:5: design: unknown design {"),
    (GOOD + "design: [random]\n", "x.yaml:5: design: unknown design ['random']"),
    (GOOD + "design: random\n", "x.yaml:5: design: write {random: n} with n, how many configurations to run"),
    (GOOD + "design: {ofat: 3}\n", "x.yaml:5: design: ofat takes no number; write `design: ofat`"),
    (GOOD + "design: fractal\n", "x.yaml:5: design: unknown design 'fractal'; did you mean 'fractional'? (one of"),
    (GOOD + "design: {random: 0}\n", "x.yaml:5: design: write {random: n}"),
    (GOOD + "resources:\n  cpu: 1\n", "x.yaml:6: unknown resource 'cpu'; did you mean 'cpus'?"),
    (GOOD + "resources:\n  pack: 4\n", "x.yaml:6: unknown resource 'pack'"),
    (GOOD + "resources:\n  cpus: -1\n", "x.yaml:6: resources: cpus must be a positive number, got -1"),
    (GOOD + "resources:\n  cpus: two\n", "x.yaml:6: resources: cpus must be a positive number, got 'two'"),
    (GOOD + "resources:\n  cpus: .inf\n", "x.yaml:6: resources: cpus must be a positive number, got inf"),
    (GOOD + "resources:\n  cpus:\n", "x.yaml:6: resources: cpus must be a positive number, got None"),
    (GOOD + "resources:\n  address: 5\n", "x.yaml:6: resources: address must be text such as auto, got 5"),
    (GOOD + "tuned: 3\n", "x.yaml:5: tuned: expected a mapping, got 3"),
    (GOOD + "tuned:\n  rl: []\n", "x.yaml:6: tuned: 'rl' is no axis of the recipe; did you mean 'lr'?"),
    (GOOD + "tuned:\n  lr: 1\n", "x.yaml:6: tuned: expected a list of rules, such as lr: [{bits: 16, use: 4e-3}]"),
    (GOOD + "tuned:\n  lr:\n    - {use: 1}\n", "x.yaml:7: tuned: expected axes of a cell and the value to use"),
    (GOOD + "tuned:\n  lr:\n    - {bits: 8, use: x}\n", "x.yaml:7: lr: expected a number, got 'x'"),
    (GOOD + "tuned:\n  lr:\n    - {bit: 8, use: 1}\n", "x.yaml:7: unknown axis 'bit' in tuned; did you mean 'bits'?"),
    ("space: {lr: [1, 2]}\ntuned: {lr: []}\n", "x.yaml:2: tuned: 'lr' is crossed in space, too"),
    (GOOD + "resources: 3\n", "x.yaml:5: resources: expected a mapping, got 3"),
    ("name: My Sweep\nspace: {bits: [8]}\n", "x.yaml:1: name 'My Sweep' must be made of a-z, 0-9, '.', '_' and '-'"),
    ("name: ..\nspace: {bits: [8]}\n", "x.yaml:1: name '..' must be made of"),
    ("name: a/b\nspace: {bits: [8]}\n", "x.yaml:1: name 'a/b' must be made of"),
    ("name: 7\nspace: {bits: [8]}\n", "x.yaml:1: name 7 must be made of"),
    ("base:\n  model: {width: 60}\nspace: {bits: [8]}\n", "x.yaml:1: model: width 60 must be heads (4) times an even"),
    ("space:\n  bits: [8]\n  model.width: [60]\n", "x.yaml:1: model: width 60 must be heads (4) times an even"),
    ("a: [1\nb: 2\n", "x.yaml:2: invalid YAML: "),
    ("base: {lr: 1}\nbase: {lr: 2}\n", "x.yaml:2: invalid YAML: found duplicate key \"base\""),
    ("- a\n", "x.yaml:1: expected a mapping with keys such as `base:` and `space:`"),
    ("", "x.yaml:1: expected a mapping with keys"),
    ("base: &a\n  lr: *a\n", "x.yaml:2: lr: expected a finite number, got None"),
    ("base: " + "[" * 1000, "x.yaml: invalid YAML: nested too deeply"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), MESSAGES, ids=[message[:60] for _, message in MESSAGES])
def test_messages_name_file_line_key_and_cure(load, text, message):
    with pytest.raises(UserError) as caught:
        load(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("base.tokens", "--set base.tokens: expected path=value, such as tokens=100_000"),
        ("=3", "--set =3: expected path=value"),
        ("base..lr=3", "--set base..lr=3: expected path=value"),
        ("base.lr=[1", "--set base.lr=[1: the value is not YAML"),
        ("base.lr=fast", "--set base.lr=fast: lr: expected a number, got 'fast'"),
        ("base.rl=1", "--set base.rl=1: unknown axis 'rl' in base; did you mean 'lr'?"),
        ("base.model.layer=1", "--set base.model.layer=1: model: unknown key 'layer'; did you mean 'layers'?"),
        ("space.bits=[9]", "--set space.bits=[9]: bits: 9 is not one of 2…8 or 16"),
        ("space.bits=9", "--set space.bits=9: bits: expected a list of levels, got 9; write [9]"),
        ("space={bits: [8, 9]}", "--set space={bits: [8, 9]}: bits: 9 is not one of"),
        ("sapce.bits=[8]", "--set sapce.bits=[8]: unknown top-level key 'sapce'; did you mean 'space'?"),
        ("exclude=[{bit: 8}]", "--set exclude=[{bit: 8}]: unknown axis 'bit' in exclude"),
        ("name=A", "--set name=A: name 'A' must be made of"),
        ("seeds.x=1", "--set seeds.x=1: seeds is not a mapping"),
        ("resources.cpus=0", "--set resources.cpus=0: resources: cpus must be a positive number, got 0"),
        ("base.data.files=[no.txt]", "--set base.data.files=[no.txt]: data.files: no such file: no.txt"),
        ("design=[1]", "--set design=[1]: design: unknown design [1]"),
    ],
)
def test_messages_about_an_override_quote_it(load, override, message):
    with pytest.raises(UserError) as caught:
        load(GOOD + "seeds: 2\nexclude:\n- {bits: 4}\n", overrides=(override,))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("profiles", "message"),
    [
        ("{gpu: {seeds: 2}}", "x.yaml:5: unknown profile 'gpus'; did you mean 'gpu'? (known: gpu)"),
        ("", "x.yaml:5: unknown profile 'gpus' (known: none)"),
        ("[gpus]", "x.yaml:5: profiles: expected a mapping, got ['gpus']"),
        ("\n  gpus: 3", "x.yaml:6: gpus: expected a mapping, got 3"),
        ("\n  gpus:\n    sedes: 3", "x.yaml:7: unknown key 'sedes'; did you mean 'seeds'?"),
        ("\n  gpus:\n    base:\n      bits: 9", "x.yaml:8: bits: 9 is not one of"),
        ("\n  gpus:\n    base:\n      model: {layers: 0}", "x.yaml:8: model.layers: 0 is out of range"),
        ("\n  gpus:\n    profiles: {}", "x.yaml:7: unknown key 'profiles'"),
    ],
)
def test_messages_about_profiles(load, profiles, message):
    with pytest.raises(UserError) as caught:
        load(GOOD + f"profiles: {profiles}\n", "gpus")
    assert message in str(caught.value)


def test_a_sweep_that_comes_along_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_sweep("full_grid").name == "full_grid"
    (tmp_path / "full_grid").write_text((SWEEPS / "quickstart.yaml").read_text())
    assert load_sweep("full_grid").name == "quickstart"  # a file goes first
    with pytest.raises(UserError, match=r"ful_grid: no such file, .* did you mean 'full_grid'\?"):
        load_sweep("ful_grid")


def test_files_that_are_no_sweep_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_sweep(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="is a folder, expected a YAML file"):
        load_sweep(tmp_path)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not UTF-8 text"):
        load_sweep(binary)


def test_a_space_beyond_reason_is_refused_at_once(load):
    space = {axis: [i / 1000 for i in range(1, 400)] for axis in ("lr", "warmup", "weight_decay")}
    with pytest.raises(UserError, match=f"more than {MAX_POINTS:,}"):
        load({"space": space})


def test_ten_thousand_trials_are_hashed_and_checked_once_each(tmp_path, monkeypatch):
    """Expansion is linear: what it does per trial is counted, not timed."""
    made, hashed = [], []
    monkeypatch.setattr(sweep_file, "make_trial", lambda **axes: (made.append(1), make_trial(**axes))[1])
    encode = config._ENCODER.encode
    monkeypatch.setattr(config._ENCODER, "encode", lambda content: (hashed.append(1), encode(content))[1])
    rates = ", ".join(str((at + 1) * 1e-5) for at in range(500))
    file = tmp_path / "large.yaml"
    file.write_text(f"space: {{bits: [16, 8, 4, 6, 5], lr: [{rates}]}}\nseeds: 4")
    assert len(load_sweep(file).trials) == 10_000
    assert len(made) <= 2_500 + 20
    assert len(hashed) <= 10_000


def test_a_sweep_that_0_1_began_goes_on_as_it_was_begun() -> None:
    reference = Path(__file__).parents[2] / "results" / "reference"
    design = reference / "grid" / "sweep.yaml"
    known, anew = load_sweep(design, results=reference), load_sweep(design)
    ledger = ledger_of(reference)[0]
    assert sum(trial.trial_id in ledger for trial in known.trials) == 126
    assert any("begun with version 0.1" in note for note in known.notes)
    assert not anew.begun(ledger)
    assert {trial["eval_tokens"] for trial in anew.trials} == {262_144}

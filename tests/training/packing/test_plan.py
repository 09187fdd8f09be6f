"""Packs of trials in a sweep: which trials they take, what becomes of one that is lost."""

from pathlib import Path

import pytest
from sweeping import TINY, by_seed, left_over, rows, sweep

from bitskip.engine.scheduler import Dispatch, Setting
from bitskip.engine.worker import Job, run_packed
from bitskip.store.folder import SweepFolder
from bitskip.store.heartbeat import reporting
from bitskip.store.tables import DONE, load_results, write_trial
from bitskip.sweep.sweep_file import Resources
from bitskip.training.packing.plan import AUTO_SIZE, fair_size, pack_size, program_count
from bitskip.training.packing.trainer import packing_pays
from bitskip.training.shared_prefix import PrefixQueue, shared_prefixes
from bitskip.trial.config import make_trial

SIZES = {"layers": 1, "width": 16, "heads": 2, "kv_heads": 1, "ffn_width": 32}


class Quiet:
    def preparing(self, what: str) -> None: ...

    def started(self, trial_id: str) -> None: ...

    def finished(self, row: dict[str, object]) -> None: ...


def trials(count: int, **axes: object) -> list:
    return [make_trial(model=SIZES, seed=seed, **axes) for seed in range(count)]


def dispatching(folder: Path, wanted: list, **resources: object) -> Dispatch:
    queue = PrefixQueue(wanted, wanted, shared_prefixes(wanted), folder / "prefixes")
    return Dispatch(Setting(folder, "s", Resources(**resources), False), queue, Quiet())


def ids(task) -> list[str]:
    return [each.trial.trial_id for each in task.pack]


def test_only_trials_of_one_shape_share_a_pack(tmp_path: Path) -> None:
    wanted = [*trials(2), *trials(2, batch_size=2), *trials(2, bits=4), *trials(1, artefacts={"causal_mask": False})]
    dispatch = dispatching(tmp_path, wanted, pack=3)
    packs = []
    while (task := dispatch.next()) is not None:
        packs.append([(each.trial.training.batch_size, bool(each.trial.artefact)) for each in task.pack])
        assert {each.point for each in task.pack} == {None}
    shape = (make_trial().training.batch_size, False)
    assert packs == [[shape] * 3, [(2, False)] * 2, [shape], [(shape[0], True)]]
    assert program_count(wanted, 3) == 4
    assert program_count(wanted, 1) == len(wanted)


def test_a_trial_that_waits_for_a_prefix_is_not_packed_with_its_writer(tmp_path: Path) -> None:
    deeper = {**SIZES, "layers": 2}
    wanted = [make_trial(model=deeper, phase="1+2", exit_weight=weight) for weight in (0.2, 0.3)]
    dispatch = dispatching(tmp_path, wanted, pack=2)
    task = dispatch.next()
    assert len(task.pack) == 1
    assert dispatch.next() is None


@pytest.mark.parametrize(
    ("resources", "waiting", "slots", "size"),
    [
        ({}, 100, 2, 1),
        ({"gpus": 1}, 100, 2, AUTO_SIZE),
        ({"gpus": 1}, 6, 2, 3),
        ({"gpus": 1, "pack": "off"}, 100, 1, 1),
        ({"pack": 4}, 100, 2, 4),
        ({"pack": 4}, 0, 2, 1),
    ],
)
def test_a_pack_leaves_some_trials_to_every_slot(resources, waiting, slots, size) -> None:
    assert fair_size(Resources(**resources), waiting, slots) == size
    assert size <= pack_size(Resources(**resources))


def test_members_of_a_lost_pack_are_run_alone_and_blamed_alone(tmp_path: Path) -> None:
    wanted = trials(3)
    dispatch = dispatching(tmp_path, wanted, pack=3)
    task = dispatch.next()
    first, second, third = ids(task)
    dispatch.started(first)
    write_trial(tmp_path, {"trial_id": second, "status": "ok", "reason": None})
    dispatch.lost(first)
    again = [dispatch.next(), dispatch.next()]
    assert [ids(each) for each in again] == [[first], [third]]
    for _ in range(2):
        dispatch.lost(first)
        dispatch.next()
    dispatch.ended(third, {third: {"row": {"trial_id": third, "status": "ok"}}})  # no such row: as if lost
    write_trial(tmp_path, {"trial_id": third, "status": "ok", "reason": None})
    dispatch.lost(dispatch.next().trial.trial_id)
    assert dispatch.over
    found = {row["trial_id"]: row["status"] for row in load_results(tmp_path).trials.to_pylist()}
    assert found == {first: "error", second: "ok", third: "ok"}


def test_a_hung_pack_is_ended_and_its_trials_are_run_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitskip.engine.scheduler.TICK_SECONDS", 0.0)
    dispatch = dispatching(tmp_path, trials(2), pack=2, stall_limit=1e-9)
    ended = []
    dispatch.end_worker = lambda *who: ended.append(who)
    first, second = ids(dispatch.next())
    dispatch.started(first)
    with reporting(tmp_path, second, "s", None, 10, 64, "cpu"):  # the first one has ended already
        dispatch.tick()
        dispatch.tick()
    assert {who[0] for who in ended} == {second}
    dispatch.lost(first)
    assert [ids(dispatch.next()), ids(dispatch.next())] == [[first], [second]]


def test_a_pack_is_hung_only_if_none_of_its_trials_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials of a pack are evaluated in turn: the last one waits for all the others."""
    monkeypatch.setattr("bitskip.engine.scheduler.TICK_SECONDS", 0.0)
    dispatch = dispatching(tmp_path, trials(2), pack=2, stall_limit=100.0)
    ended = []
    dispatch.end_worker = lambda *who: ended.append(who)
    first, second = ids(dispatch.next())
    dispatch.started(first)
    with reporting(tmp_path, first, "s", None, 10, 64, "cpu") as told, reporting(tmp_path, second, "s", None, 9, 9, ""):
        dispatch.tick()
        for begun in dispatch.running.values():
            begun.seen -= 1000
        told.evaluating()
        dispatch.tick()
        assert ended == []
        for begun in dispatch.running.values():
            begun.seen -= 1000
        dispatch.tick()
    assert len(ended) == 2


def test_packs_are_half_as_large_after_a_want_of_memory(tmp_path: Path) -> None:
    dispatch = dispatching(tmp_path, trials(12), pack=4)
    task = dispatch.next()
    reason = {"reason": "OutOfMemoryError: CUDA out of memory"}
    dispatch.ended(ids(task)[0], dict.fromkeys(ids(task), reason))
    sizes = []
    while (task := dispatch.next()) is not None:
        sizes.append(len(task.pack))
    assert sizes == [2, 2, 2, 2, 1, 1, 1, 1]


def test_what_ends_a_pack_stands_in_the_log_of_each_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(members: object, device: str) -> object:
        raise RuntimeError("the program broke\nin two lines")
        yield

    monkeypatch.setattr("bitskip.training.packing.trainer.run_pack", broken)
    jobs = [Job(trial, tmp_path, "s") for trial in trials(2)]
    with pytest.raises(RuntimeError):
        list(run_packed(jobs))
    for job in jobs:
        log = SweepFolder(tmp_path).log(job.trial.trial_id).read_text()
        assert "the pack failed" in log
        assert "Traceback" in log


def test_a_probe_is_made_once_for_a_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("bitskip.training.packing.trainer._PROBED", {})
    monkeypatch.setattr(
        "bitskip.training.packing.trainer.packing_gains", lambda *of: asked.append(of) or [0.5, 2.0, 3.0]
    )
    assert packing_pays(trials(2), "cpu")
    assert packing_pays(trials(4)[2:], "cpu")
    assert packing_pays(trials(3), "cpu")
    assert len(asked) == 2


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_a_packed_sweep_has_the_results_of_one_trial_after_another(tmp_path: Path, executor: str) -> None:
    """One of the trials diverges: the others do not notice."""
    design = TINY.replace("seeds: 4", "seeds: 2").replace("bits: [16]", "bits: [16, 4], lr: [1e-2, 1e18]")
    found = {}
    for pack in ("off", "4"):
        folder = tmp_path / pack
        folder.mkdir()
        (folder / "tiny.yaml").write_text(design)
        done = sweep(folder, "--set", f"resources.pack={pack}", "--executor", executor)
        assert done.returncode in (0, 1), done.stderr
        assert ("8 trials in 2 packs of up to 4" in done.stdout) == (pack == "4")
        found[pack] = {row["trial_id"]: row for row in rows(folder)}
        assert left_over(folder) == []
    assert found["off"].keys() == found["4"].keys()
    assert {row["packed"] for row in found["off"].values()} == {1}
    assert {row["packed"] for row in found["4"].values()} == {4}
    statuses = {row["status"] for row in found["off"].values()}
    assert len(statuses) > 1
    for trial_id, row in found["4"].items():
        alone = found["off"][trial_id]
        assert row["status"] == alone["status"]
        assert row["tokens_trained"] == alone["tokens_trained"]
        assert (row["ppl"] is None) == (alone["ppl"] is None) == (row["status"] == "diverged")
        assert row["ppl"] is None or row["ppl"] == pytest.approx(alone["ppl"], rel=5e-3)


@pytest.mark.slow
def test_a_worker_that_dies_with_a_pack_costs_no_result(tmp_path: Path) -> None:
    fault = {"kind": "kill", "seeds": [2], "once": str(tmp_path / "killed")}
    done = sweep(tmp_path, "--set", "resources.pack=4", "--set", "resources.cpus=2", fault=fault)
    assert done.returncode == 0, done.stderr
    assert "a pack of trials was lost (its worker process died); those without a result are run alone" in done.stderr
    assert all(row["status"] in DONE and row["packed"] == 1 for row in rows(tmp_path))
    assert len(by_seed(tmp_path)) == 4
    assert left_over(tmp_path) == []


@pytest.mark.slow
def test_the_time_limit_of_a_pack_is_that_of_all_its_trials(tmp_path: Path) -> None:
    options = ("--executor", "inline", "--set", "resources.pack=2", "--set", "seeds=2")
    late = sweep(tmp_path, *options, "--set", "resources.time_limit=0.01", "--set", "base.tokens=200000")
    assert late.returncode == 1
    assert {row["status"] for row in rows(tmp_path)} == {"timeout"}


def test_a_bad_pack_is_refused_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY + "resources:\n  pack: often\n")
    done = sweep(tmp_path)
    assert done.returncode == 2
    assert "pack must be auto, off or a number of trials, got 'often'" in done.stderr
    assert "tiny.yaml:" in done.stderr
    assert not (tmp_path / "results").exists()

"""The layout of a sweep's folder is a contract."""

from pathlib import Path

from bitskip.store.folder import SweepFolder, stored_weights


def test_everything_of_a_trial_has_its_place(tmp_path: Path) -> None:
    place = SweepFolder(tmp_path / "s")
    found = [
        place.design, place.part("trials", "a"), place.part("exits", "a"), place.checkpoint("a"), place.weights("a"),
        place.heartbeat("a"), place.log("a"), place.prefixes, place.lock, place.owner,
    ]  # fmt: skip
    assert [str(path.relative_to(tmp_path / "s")) for path in found] == [
        "sweep.yaml", "trials/a.parquet", "exits/a.parquet", "checkpoints/a.safetensors", "weights/a.safetensors",
        "running/a.json", "logs/a.log", "prefixes", ".lock", ".owner.json",
    ]  # fmt: skip
    assert place.half_written() == []


def test_files_that_were_never_renamed_into_place_are_found(tmp_path: Path) -> None:
    place = SweepFolder(tmp_path)
    whole = [place.part("trials", "a"), place.checkpoint("a"), place.weights("a"), place.heartbeat("a")]
    half = [place.scratch / "a.parquet-1", *(path.with_name(f".{path.name}-1") for path in whole[1:])]
    for path in (*whole, *half):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert sorted(place.half_written()) == sorted(half)
    assert stored_weights(tmp_path) == {"a": place.weights("a")}

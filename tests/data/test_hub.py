"""Hugging Face datasets through the real library, on data made here; an unreachable hub is said, never replaced."""

from collections.abc import Iterator
from pathlib import Path

import datasets
import pytest

from bitskip.data import load_data
from bitskip.data.corpora import drawn, open_corpus
from bitskip.data.tokenizer import load_tokenizer
from bitskip.errors import UserError
from bitskip.hub import hub_connection
from bitskip.trial.config import DataConfig

ROWS = {"text": [f"row {i}" for i in range(50)] + ["  "], "label": list(range(51))}


@pytest.fixture(autouse=True)
def answering(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks the network whether the hub is there."""
    monkeypatch.setattr("bitskip.hub._trouble", lambda _: "")


def serve(monkeypatch: pytest.MonkeyPatch, found: object) -> None:
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: found)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """Answers for the hub with a small dataset; records what was asked for."""
    asked: list[tuple[object, ...]] = []

    def load(repository: str, subset: str | None, *, split: str, streaming: bool) -> object:
        asked.append((repository, subset, split, streaming))
        found = datasets.Dataset.from_dict(ROWS)
        return found.to_iterable_dataset() if streaming else found

    monkeypatch.setattr(datasets, "load_dataset", load)
    return asked


@pytest.mark.parametrize("streaming", [False, True])
def test_documents_are_the_non_empty_rows(hub: list[tuple[object, ...]], streaming: bool) -> None:
    config = DataConfig(corpus="roneneldan/TinyStories", streaming=streaming)
    assert list(open_corpus(config).documents("train")) == ROWS["text"][:50]
    assert hub == [("roneneldan/TinyStories", None, "train", streaming)]


def test_wikitext_is_known_by_its_short_name(hub: list[tuple[object, ...]]) -> None:
    list(open_corpus(DataConfig(corpus="wikitext")).documents("validation"))
    list(open_corpus(DataConfig(corpus="wikitext", subset="wikitext-103-raw-v1")).documents("train"))
    assert [(repository, subset) for repository, subset, *_ in hub] == [
        ("Salesforce/wikitext", "wikitext-2-raw-v1"),
        ("Salesforce/wikitext", "wikitext-103-raw-v1"),
    ]


def test_a_dataset_becomes_streams(hub: list[tuple[object, ...]], tmp_path: Path) -> None:
    data = load_data(DataConfig(corpus="some/set", tokenizer="bytes"), 0, 0, tmp_path)
    assert bytes(data.train[:5].tolist()) == b"row 0"
    assert len(data.train) == sum(len(text) + 1 for text in ROWS["text"][:50])


@pytest.mark.parametrize("split", ["two", "three"])
def test_one_split_is_dealt_out_to_all_parts(hub: list[tuple[object, ...]], split: str) -> None:
    config = DataConfig(corpus="some/set", validation_split="", validation_fraction=0.2, split=split, streaming=True)
    corpus = open_corpus(config)
    parts = {side: list(corpus.documents(side)) for side in corpus.sides}
    assert sorted(text for part in parts.values() for text in part) == sorted(ROWS["text"][:50])
    assert parts["test"] == [text for text in ROWS["text"][:50] if drawn(text) < 0.2]
    assert {asked[2] for asked in hub} == {"train"}


def test_a_missing_column_is_named(hub: list[tuple[object, ...]]) -> None:
    with pytest.raises(UserError, match=r"no column 'body' \(columns: text, label\); set data\.column"):
        list(open_corpus(DataConfig(corpus="some/set", column="body")).documents("train"))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionError("Couldn't reach the Hub"), r"cannot load the dataset 'some/set': Couldn't reach"),
        (
            ValueError('Unknown split "validation". Should be one of [train]'),
            r"has no split 'train'.*data\.validation_split",
        ),
        (ValueError("BuilderConfig 'x' not found"), r"set data\.subset"),
    ],
)
def test_what_the_hub_refuses_is_said_with_the_ways_out(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(UserError, match=message) as caught:
        list(open_corpus(DataConfig(corpus="some/set")).documents("train"))
    assert isinstance(error, ValueError) or "data: stories" in str(caught.value)


def test_training_on_the_held_out_split_is_refused() -> None:
    with pytest.raises(UserError, match="both 'train'; set data.validation_split"):
        list(open_corpus(DataConfig(corpus="some/set", validation_split="train")).documents("train"))


@pytest.mark.parametrize(
    ("train", "held_out", "apart"),
    [
        ("train", "train[:5%]", False),
        ("train[5%:]", "train", False),
        ("train+test", "test", False),
        ("train[:5%]", "train[:5%]+test", False),
        ("train[5%:]", "train[:5%]", True),
        ("train", "train_small", True),
    ],
)
def test_splits_that_share_rows_are_refused(
    train: str, held_out: str, apart: bool, hub: list[tuple[object, ...]]
) -> None:
    config = DataConfig(corpus="some/set", train_split=train, validation_split=held_out)
    if apart:
        assert list(open_corpus(config).documents("train"))
    else:
        with pytest.raises(UserError, match=r"share rows; set data\.train_split"):
            list(open_corpus(config).documents("train"))


def test_rows_without_text_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, datasets.Dataset.from_dict({"text": ["a", None, "b"]}))
    assert list(open_corpus(DataConfig(corpus="some/set")).documents("train")) == ["a", "b"]


def test_a_column_of_something_else_is_named(hub: list[tuple[object, ...]]) -> None:
    with pytest.raises(UserError, match=r"column 'label' of 'some/set' holds int, not text; set data\.column"):
        list(open_corpus(DataConfig(corpus="some/set", column="label")).documents("train"))


def test_a_stream_that_does_not_know_its_columns_names_the_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, datasets.IterableDataset.from_generator(lambda: iter([{"body": "a"}])))
    with pytest.raises(UserError, match=r"no column 'text' \(columns: body\); set data\.column"):
        list(open_corpus(DataConfig(corpus="some/set", streaming=True)).documents("train"))


def _broken() -> Iterator[dict[str, str]]:
    yield {"text": "a"}
    raise ConnectionError("line is dead")


def test_a_stream_that_breaks_off_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    serve(monkeypatch, datasets.IterableDataset.from_generator(_broken))
    with pytest.raises(UserError, match="reading 'some/set' broke off: line is dead; try again"):
        load_data(DataConfig(corpus="some/set", streaming=True, tokenizer="bytes"), 10, 10, tmp_path)
    assert [path for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_an_unreachable_hub_is_said_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The real client, offline: it answers from its cache, which does not hold these."""
    reason = "https://hub does not answer (no route)"
    monkeypatch.setattr("bitskip.hub._trouble", lambda _: reason)
    for corpus, streaming in (("wikitext", False), ("roneneldan/NoSuchStories", True)):
        with pytest.raises(UserError, match=r"no route\); use the built-in corpus \(data: stories\) or text files"):
            load_data(DataConfig(corpus=corpus, subset="no-such-subset", streaming=streaming), 1, 1, tmp_path)
    with pytest.raises(UserError, match=r"data\.tokenizer: cannot load 'no/such': .*no route.*tokenizer\.json"):
        load_tokenizer(DataConfig(tokenizer="no/such"), tmp_path)


def test_offline_lasts_only_while_the_hub_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr("bitskip.hub._trouble", lambda _: "no route")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with hub_connection() as trouble:
        assert (trouble, constants.HF_HUB_OFFLINE) == ("no route", True)
    assert constants.HF_HUB_OFFLINE is False


def test_offline_by_choice_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("bitskip.hub._trouble", lambda _: pytest.fail("asked"))
    with hub_connection() as trouble:
        assert trouble == ""


def test_articles_of_wikitext_are_put_together_from_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["", " = One = \n", "", " a \n", " = = Part = = \n", " b \n", "", " = Two = \n", "", " c = d \n"]
    serve(monkeypatch, datasets.Dataset.from_dict({"text": lines}))
    found = list(open_corpus(DataConfig(corpus="wikitext", document="article")).documents("train"))
    assert found == ["= One = \n\n a \n = = Part = = \n b", "= Two = \n\n c = d"]

"""Hugging Face datasets through the real library, on data made here; an unreachable hub is said, never replaced."""

from pathlib import Path

import datasets
import pytest

from bitskip.config import DataConfig
from bitskip.data import load_data
from bitskip.data.hub import hub_documents
from bitskip.errors import UserError

ROWS = {"text": [f"row {i}" for i in range(50)] + ["  "], "label": list(range(51))}


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
    assert list(hub_documents(config, "train")) == ROWS["text"][:50]
    assert hub == [("roneneldan/TinyStories", None, "train", streaming)]


def test_wikitext_is_known_by_its_short_name(hub: list[tuple[object, ...]]) -> None:
    list(hub_documents(DataConfig(corpus="wikitext"), "validation"))
    list(hub_documents(DataConfig(corpus="wikitext", subset="wikitext-103-raw-v1"), "test"))
    assert [(repository, subset) for repository, subset, *_ in hub] == [
        ("Salesforce/wikitext", "wikitext-2-raw-v1"),
        ("Salesforce/wikitext", "wikitext-103-raw-v1"),
    ]


def test_a_dataset_becomes_streams(hub: list[tuple[object, ...]], tmp_path: Path) -> None:
    data = load_data(DataConfig(corpus="some/set", tokenizer="bytes"), 0, 0, tmp_path)
    assert bytes(data.train[:5].tolist()) == b"row 0"
    assert len(data.train) == sum(len(text) + 1 for text in ROWS["text"][:50])


def test_a_missing_column_is_named(hub: list[tuple[object, ...]]) -> None:
    with pytest.raises(UserError, match=r"no column 'body' \(columns: text, label\); set data\.column"):
        list(hub_documents(DataConfig(corpus="some/set", column="body"), "train"))


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
        list(hub_documents(DataConfig(corpus="some/set"), "train"))
    assert isinstance(error, ValueError) or "data: stories" in str(caught.value)


def test_training_on_the_held_out_split_is_refused() -> None:
    with pytest.raises(UserError, match="both 'train'; set data.validation_split"):
        list(hub_documents(DataConfig(corpus="some/set", validation_split="train"), "train"))

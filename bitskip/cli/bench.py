"""The speed of a trial in engines with kernels of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bitskip.cli.app import DEFAULT_RESULTS, JsonOption, ResultsOption, app, results_words, tell_next
from bitskip.errors import UserError, nearest


@app.command()
def bench(
    trial_id: Annotated[str, typer.Argument(help="A trial with stored weights: its id, or the beginning of one.")],
    engine: Annotated[str, typer.Option(help="torch, llama.cpp or torchao.")] = "torch",
    kind: Annotated[
        str | None, typer.Option("--type", help="Of the matrices in llama.cpp: f16, q8_0, tq1_0 or tq2_0.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads of the engine.", min=1)] = 1,
    device: Annotated[str, typer.Option(help="cpu, or cuda with --engine torch.")] = "cpu",
    prompt_tokens: Annotated[int, typer.Option(help="Tokens of the prompt at most.", min=1)] = 128,
    decode_tokens: Annotated[int, typer.Option(help="Tokens to decode at most.", min=2)] = 64,
    repeats: Annotated[int, typer.Option(help="Repeats that count, after one that does not.", min=1)] = 5,
    results: ResultsOption = DEFAULT_RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Measure prefill and decoding speed of a trial's full model in an engine, and store it beside the trial."""
    from bitskip.data import load_tokenizer
    from bitskip.engine.worker import check_device, device_name
    from bitskip.report.topics.speeds import speed_line
    from bitskip.store.folder import stored_weights
    from bitskip.store.schema import as_row
    from bitskip.store.speeds import add_speed
    from bitskip.training.bench import ENGINES, Request
    from bitskip.training.bench import bench as measure
    from bitskip.training.checkpoint import load_model

    if engine not in ENGINES:
        raise UserError(f"--engine: '{engine}' is not one of {', '.join(ENGINES)}{nearest(engine, ENGINES)}")
    if kind is not None and engine != "llama.cpp":
        raise UserError("--type belongs to --engine llama.cpp; add it, or leave --type out")
    if device != "cpu" and engine != "torch":
        raise UserError(f"--device {device}: {engine} runs on the CPU here; leave it out, or take --engine torch")
    check_device(device)
    model, trial = load_model(results, trial_id, device)
    request = Request(threads, prompt_tokens, decode_tokens, repeats, kind)
    start = load_tokenizer(trial.data).end_of_document
    speed = measure(model, trial, engine, request, start, device_name(device))
    folder = stored_weights(results)[trial.trial_id].parent.parent
    try:
        add_speed(folder, trial.trial_id, speed)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from None
    if as_json:
        print(json.dumps({"trial_id": trial.trial_id, **as_row(speed)}, default=str))
        return
    print(speed_line(trial.trial_id, speed))
    tell_next("report", *map(Path, results_words(results)), "--only", "speed")

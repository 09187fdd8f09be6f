"""Commands of one trial: train it, take its weights, let it write."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitskip.cli.app import (
    DEFAULT_RESULTS,
    JsonOption,
    ResultsOption,
    SetOption,
    app,
    results_words,
    settings_of,
    tell_next,
)
from bitskip.errors import UserError

if TYPE_CHECKING:
    from bitskip.model.decoder import Decoder
    from bitskip.training.generate import Strategy
    from bitskip.trial.config import TrialConfig


@app.command()
def train(
    settings: SetOption = None,
    results: ResultsOption = DEFAULT_RESULTS,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 1,
    checkpoint_seconds: Annotated[
        float, typer.Option(help="Renew the checkpoint after so many seconds; the same command goes on from it.", min=0)
    ] = 300.0,
    save: Annotated[bool, typer.Option("--save/--no-save", help="Keep the weights, for bitskip generate.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Train one trial in this process, such as `bitskip train --set bits=4 --set hadamard=true`."""
    from dataclasses import replace

    from bitskip.trial.config import make_trial

    trial = make_trial(**settings_of(settings or ()))
    from bitskip.data import load_data, training_tokens
    from bitskip.data.corpora import pinned, summaries
    from bitskip.data.evaluations import with_digests
    from bitskip.engine.job import Job
    from bitskip.engine.worker import check_device, run_job
    from bitskip.store.schema import FAILED, FINISHED
    from bitskip.store.tables import stored_result
    from bitskip.training.held_out import check_text
    from bitskip.trial.pretrained import pretrained_digest

    trial = replace(trial, data=pinned(trial.data), training=with_digests(trial.training))
    if trial.model.pretrained:
        trial = replace(trial, model=replace(trial.model, pretrained_digest=pretrained_digest(trial.model.pretrained)))
    check_device(device)
    folder = results / "train"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot create the results folder: {error.strerror}") from None
    training, progress = trial.training, sys.stderr if as_json else sys.stdout
    for text in summaries([trial.data]):
        print(f"text: {text.line()}", *(f"warning: {warning}" for warning in text.warnings), sep="\n", file=progress)

    def tell(text: str) -> None:
        print(text, file=progress, flush=True)

    loaded = load_data(trial.data, training_tokens(trial), training.held_out_tokens, report=tell)
    for note in check_text(trial, loaded, tell):
        tell(note)
    earlier = stored_result(folder, trial.trial_id)
    if earlier:
        print(
            f"bitskip: {trial.trial_id} has a result of {earlier['started_at']}; it is trained again", file=sys.stderr
        )

    def show(point: Any, steps: int) -> None:
        if not as_json:
            print(f"step {point.step}/{steps}  held-out loss {point.val_loss:.4f}", flush=True)

    job = Job(
        trial,
        folder,
        "train",
        device=device,
        threads=threads,
        checkpoint_seconds=checkpoint_seconds,
        save_weights=save,
    )
    row = run_job(job, show)
    if earlier and row["status"] in FINISHED and (row["status"], row["loss"]) != (earlier["status"], earlier["loss"]):
        was = f"{earlier['status']}, loss {earlier['loss']}"
        print(
            f"bitskip: its earlier result ({was}) is replaced by {row['status']}, loss {row['loss']}", file=sys.stderr
        )
    if as_json:
        print(json.dumps(row, default=str))
    else:
        found = f"perplexity {row['ppl']:.3f}" if row.get("ppl") else row.get("reason")
        print(f"{row['trial_id']} {row['status']}: {found}{_beside_counting(row)}")
        if row["artefact"]:
            print(f"artefact {trial.artefact_switches()}; guards skipped: {row.get('skipped_guards') or 'none'}")
        tell_next("explain", row["trial_id"], *results_words(results))
    if row["status"] in FAILED:
        raise typer.Exit(1)


def _beside_counting(row: Mapping[str, Any]) -> str:
    """How a trial's perplexity stands to that of bigrams counted on the same tokens."""
    loss, line = row.get("loss"), row.get("bigram_loss")
    if loss is None or line is None:
        return ""
    return f" ({'below counting: ' if loss >= line else ''}bigrams {math.exp(line):.3f})"


@app.command()
def export(
    trial_id: Annotated[str, typer.Argument(help="A trial's id, or the beginning of one.")],
    file: Annotated[Path, typer.Argument(help="The file to write; with --to hf the folder.")],
    to: Annotated[str, typer.Option(help="bitskip, hf (for transformers) or gguf (for llama.cpp).")] = "bitskip",
    dtype: Annotated[
        str | None, typer.Option(help="bf16 or fp32, of all that is not ternary: bf16 by default; with --to hf fp32.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--type", help="Of the matrices, with --to gguf: f16, q8_0, tq1_0 or tq2_0.")
    ] = None,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Write a trial's weights: ternary matrices as 2-bit codes with a scale, or a model for other programs."""
    from bitskip.training.checkpoint import EXPORT_DTYPES, load_model

    if to not in EXPORTS:
        raise UserError(f"--to: '{to}' is not one of {', '.join(EXPORTS)}")
    if dtype is not None and (dtype not in EXPORT_DTYPES or to == "gguf"):
        known = ", ".join(EXPORT_DTYPES)
        raise UserError("--dtype: gguf has --type" if to == "gguf" else f"--dtype: '{dtype}' is not one of {known}")
    if kind is not None and to != "gguf":
        raise UserError("--type belongs to --to gguf; add it, or leave --type out")
    model, trial = load_model(results, trial_id)
    try:
        notes = EXPORTS[to](file, model, trial, dtype or kind)
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror or error})") from None
    for note in notes:
        print(f"bitskip: {note}", file=sys.stderr)
    written = file.iterdir() if file.is_dir() else [file]
    print(f"{file}: {sum(each.stat().st_size for each in written):,} bytes")
    tell_next("generate", trial_id, "--prompt", "", *results_words(results))


def _export_own(file: Path, model: Decoder, trial: TrialConfig, dtype: str | None) -> Sequence[str]:
    from bitskip.training.checkpoint import EXPORT_DTYPES, save_weights

    save_weights(file, trial, model, EXPORT_DTYPES[dtype or "bf16"])
    return ()


def _export_hf(folder: Path, model: Decoder, trial: TrialConfig, dtype: str | None) -> Sequence[str]:
    from bitskip.data import load_tokenizer
    from bitskip.training.checkpoint import EXPORT_DTYPES
    from bitskip.training.export import portable
    from bitskip.training.export_hf import write_hf

    found = portable(model, trial, "transformers")
    write_hf(folder, found, load_tokenizer(trial.data), EXPORT_DTYPES[dtype or "fp32"])
    return found.notes


def _export_gguf(file: Path, model: Decoder, trial: TrialConfig, kind: str | None) -> Sequence[str]:
    from bitskip.data import load_tokenizer
    from bitskip.extras import require
    from bitskip.training.export import portable
    from bitskip.training.export_gguf import ACTIVATION_BITS, check_type, write_gguf

    require("gguf")
    kind = kind or "f16"
    check_type(trial, kind)
    found = portable(model, trial, f"llama.cpp's {kind}", ACTIVATION_BITS.get(kind))
    write_gguf(file, found, load_tokenizer(trial.data), kind)
    return found.notes


EXPORTS = {"bitskip": _export_own, "hf": _export_hf, "gguf": _export_gguf}
"""What `bitskip export` writes, by `--to`; each takes dtype or type and returns notes."""


@app.command()
def generate(
    trial_id: Annotated[str, typer.Argument(help="A trial with stored weights: its id, or the beginning of one.")],
    prompt: Annotated[str, typer.Option(help="Text to continue; may be empty.")],
    exit_layer: Annotated[int | None, typer.Option(help="Decode with, or draft with, this many blocks.")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Leave at the first exit whose top token is this probable.")
    ] = None,
    speculative: Annotated[bool, typer.Option("--speculative", help="Draft with an exit, verify with all.")] = False,
    draft: Annotated[int | None, typer.Option(help="Tokens drafted before each verification.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Tokens to add at most.")] = 128,
    temperature: Annotated[float, typer.Option(help="0 takes the most probable token every time.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the draws, at a temperature above 0.")] = 0,
    results: ResultsOption = DEFAULT_RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Continue a text with a trained model: all blocks, an early exit, by confidence, or self-speculatively."""
    from rich.console import Console

    from bitskip.data import load_tokenizer, prompt_tokens
    from bitskip.report.generation import TextStream, continuation, generation_object, statistics_line
    from bitskip.training.checkpoint import load_model
    from bitskip.training.generate import generate as decode
    from bitskip.training.generate import in_double_precision

    model, trial = load_model(results, trial_id)
    name, strategy = _strategy(model.sizes.layers, exit_layer, threshold, speculative, draft)
    tokenizer = load_tokenizer(trial.data)
    start = prompt_tokens(tokenizer, prompt)
    request = (in_double_precision(model), start, strategy, max_tokens, temperature, seed, tokenizer.end_of_document)
    if as_json:
        done = decode(*request)
        text = continuation(tokenizer, start, done.tokens)
        asked = {"trial_id": trial.trial_id, "prompt": prompt, "prompt_tokens": start, "strategy": name}
        print(json.dumps({**asked, **vars(strategy), "text": text, **generation_object(done)}))
        return
    stream = TextStream(tokenizer, start, Console())
    done = decode(*request, stream.add)
    stream.close()
    reached = len(start) + len(done.tokens)
    if reached > trial.training.seq_len:
        print(
            f"bitskip: prompt and text are {reached} tokens, a training sequence {trial.training.seq_len}: "
            "what the model does beyond was not measured",
            file=sys.stderr,
        )
    print(f"bitskip: {statistics_line(done, tokenizer.end_of_document)}", file=sys.stderr)
    tell_next("explain", trial_id, *results_words(results))


def _strategy(
    depth: int, exit_layer: int | None, threshold: float | None, speculative: bool, draft: int | None
) -> tuple[str, Strategy]:
    """The decoding strategy that the options ask for, and its name. Raises UserError if they ask for two."""
    from bitskip.training.generate import DRAFT_TOKENS, ConfidenceExit, FixedExit, SelfSpeculation, default_draft_exit

    if threshold is not None and (speculative or exit_layer is not None):
        raise UserError("--threshold chooses the exit of every token; leave --speculative and --exit-layer out")
    if draft is not None and not speculative:
        raise UserError("--draft belongs to --speculative; add it, or leave --draft out")
    if threshold is not None:
        return "confidence", ConfidenceExit(threshold)
    if speculative:
        drafting = default_draft_exit(depth) if exit_layer is None else exit_layer
        return "speculative", SelfSpeculation(drafting, DRAFT_TOKENS if draft is None else draft)
    if exit_layer is None:
        return "full", FixedExit(depth)
    return "exit", FixedExit(exit_layer)

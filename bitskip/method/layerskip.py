"""Layer-dropout rates, exit-loss weights and their curricula (METHOD 6.4, 6.5; LayerSkip, arXiv 2404.16710).

Layers are counted l = 0 … L-1. Exit E of the field (blocks executed) is l = E - 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

ROTATION_INTERVAL = 3
"""R of LayerSkip's rotational curriculum: every R-th exit is trained, shifted by one each step."""

DEPTH_SCALES: dict[str, Callable[[float], float]] = {
    "none": lambda u: 0.0,
    "constant": lambda u: 1.0,
    "linear": lambda u: u,
    "quadratic": lambda u: u * u,
    "exponential": lambda u: 2.0**u - 1.0,
}
"""Rate at relative depth u = l / (L-1), as a share of the largest one."""


def dropout_rates(schedule: str, num_layers: int, p_max: float, norm: str = "none") -> tuple[float, ...]:
    """Probability of skipping each block, length L; the last block is never skipped (BitSkip).

    `norm="sum1"` divides by the sum after that exemption, as the paper writes; p_max then cancels (METHOD 6.4) and the
    rates are clamped below 1. Raises ValueError for an unknown schedule or norm and for p_max outside [0, 1).
    """
    if schedule not in DEPTH_SCALES:
        raise ValueError(f"unknown dropout schedule '{schedule}': one of {', '.join(DEPTH_SCALES)}")
    if norm not in ("none", "sum1"):
        raise ValueError(f"unknown dropout normalisation '{norm}': none or sum1")
    if not 0.0 <= p_max < 1.0:
        raise ValueError(f"p_max must lie in [0, 1), got {p_max}")
    depth = max(num_layers - 1, 1)
    rates = [p_max * DEPTH_SCALES[schedule](layer / depth) for layer in range(num_layers - 1)] + [0.0]
    total = sum(rates)
    if norm == "sum1" and total > 0.0:
        # L = 3 would skip block 1 always: leave every block some training.
        rates = [min(rate / total, 0.95) for rate in rates]
    return tuple(rates)


def dropout_progress(curriculum: str, step: int, steps: int) -> float:
    """S(t), the factor on all rates: 1, or LayerSkip's 2^(t/(T-1)) - 1 for training from scratch."""
    if curriculum == "none" or steps <= 1:
        return 1.0
    return float(2.0 ** (step / (steps - 1)) - 1.0)


def _non_final(values: Sequence[float]) -> list[float]:
    total = sum(values)
    return [value / total for value in values] + [0.0]


def _layerskip(num_layers: int, e_scale: float) -> list[float]:
    cumulative = [layer * (layer + 1) / 2 for layer in range(num_layers)]
    final = (num_layers - 1) + e_scale * sum(range(num_layers - 1))
    raw = [e_scale * value for value in cumulative[:-1]] + [final]
    total = sum(raw)
    return [value / total for value in raw] if total > 0 else [1.0]


EXIT_SCALES: dict[str, Callable[[int, float], list[float]]] = {
    "proportional": lambda n, _: _non_final([(i + 1) / n for i in range(n - 1)]),
    "uniform": lambda n, _: _non_final([1.0] * (n - 1)),
    "triangular": lambda n, _: [(i + 1) * (i + 2) / (n * (n + 1) * (n + 2) / 3) for i in range(n)],
    "layerskip": _layerskip,
}


def exit_weights(scale: str, num_layers: int, e_scale: float = 0.2) -> tuple[float, ...]:
    """Share of each exit's cross-entropy in the exit loss, length L, summing to 1 (0 where L = 1 leaves no exit).

    `proportional` is the paper's (i+1)/L over the non-final exits, `uniform` likewise; `triangular` (published code)
    and `layerskip` (e(l), with its `e_scale`) include the final layer. Raises ValueError for an unknown scale.
    """
    if scale not in EXIT_SCALES:
        raise ValueError(f"unknown exit scale '{scale}': one of {', '.join(EXIT_SCALES)}")
    return tuple(EXIT_SCALES[scale](num_layers, e_scale))


def enabled_exits(curriculum: str, num_layers: int, step: int, steps: int) -> tuple[bool, ...]:
    """Which layers' losses count at a step, length L; the final one always does (LayerSkip, section 3.2)."""
    final = num_layers - 1
    if curriculum == "rotational":
        on = [layer % ROTATION_INTERVAL == step % ROTATION_INTERVAL for layer in range(num_layers)]
    elif curriculum == "gradual":
        reached = int(step * 2 * num_layers / max(steps, 1))
        on = [layer >= final - reached for layer in range(num_layers)]
    else:
        on = [True] * num_layers
    return (*on[:final], True)


def loss_weights(
    scale: str, curriculum: str, num_layers: int, exit_weight: float, step: int, steps: int
) -> tuple[float, ...]:
    """Coefficient of every layer's cross-entropy in the training loss, length L.

    BitSkip: main + lambda * sum w_i CE_i, with w renormalised over the enabled exits. LayerSkip's own scale has no
    separate main loss: lambda is its e_scale and the coefficients sum to 1 (METHOD 6.5).
    """
    if exit_weight == 0.0:
        return (*([0.0] * (num_layers - 1)), 1.0)
    enabled = enabled_exits(curriculum, num_layers, step, steps)
    shares = exit_weights(scale, num_layers, exit_weight)
    kept = [share if on else 0.0 for share, on in zip(shares, enabled, strict=True)]
    total = sum(kept)
    kept = [share / total for share in kept] if total > 0 else kept
    if scale == "layerskip":
        return tuple(kept)
    weights = [exit_weight * share for share in kept]
    return (*weights[:-1], weights[-1] + 1.0)

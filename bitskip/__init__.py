"""bitskip: how efficiency techniques compose in a language model, measured before the GPU hours are spent.

Everything here is imported when it is first used: `import bitskip` alone imports neither torch nor ray.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.2.0.dev0"

_WHERE = {
    "UserError": "errors",
    # Trials and sweeps
    "load_sweep": "sweep.sweep_file",
    "make_trial": "trial.config",
    "build_model": "model.decoder",
    "run_trial": "training.trainer",
    # Results and what they say
    "load_results": "store.tables",
    "save_results": "store.save",
    "main_effects": "analysis.effects",
    "composition_effects": "analysis.effects",
    "fit_predictor": "predict.predictor",
    # Arithmetic
    "ternarize": "ops.quantizers",
    "quantize_activations": "ops.quantizers",
    "hadamard_transform": "ops.hadamard",
    "dropout_rates": "techniques.layer_dropout",
    "exit_weights": "techniques.early_exit",
    # A technique of one's own
    "Technique": "techniques.base",
    "LinearLayer": "techniques.base",
    "LinearOps": "techniques.base",
    "Moment": "techniques.base",
    "axis": "techniques.axis",
}

__all__ = ["__version__", *_WHERE]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'bitskip' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"bitskip.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

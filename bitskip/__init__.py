"""bitskip: how efficiency techniques compose in a language model, measured before the GPU hours are spent.

Everything here is imported when it is first used: `import bitskip` alone imports neither torch nor ray.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitskip.analysis.effects import composition_effects as composition_effects
    from bitskip.analysis.effects import main_effects as main_effects
    from bitskip.errors import UserError as UserError
    from bitskip.model.decoder import build_model as build_model
    from bitskip.ops.hadamard import hadamard_transform as hadamard_transform
    from bitskip.ops.quantizers import quantize_activations as quantize_activations
    from bitskip.ops.quantizers import ternarize as ternarize
    from bitskip.predict.predictor import fit_predictor as fit_predictor
    from bitskip.report.charts import figures as figures
    from bitskip.scaling.contrast_laws import fit_scaling as fit_scaling
    from bitskip.store.save import save_results as save_results
    from bitskip.store.tables import load_results as load_results
    from bitskip.sweep.sweep_file import load_sweep as load_sweep
    from bitskip.techniques.axis import axis as axis
    from bitskip.techniques.base import LinearLayer as LinearLayer
    from bitskip.techniques.base import LinearOps as LinearOps
    from bitskip.techniques.base import Moment as Moment
    from bitskip.techniques.base import Technique as Technique
    from bitskip.techniques.early_exit import exit_weights as exit_weights
    from bitskip.techniques.layer_dropout import dropout_rates as dropout_rates
    from bitskip.training.trainer import run_trial as run_trial
    from bitskip.trial.config import make_trial as make_trial

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
    "fit_scaling": "scaling.contrast_laws",
    "figures": "report.charts",
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
    try:
        module = importlib.import_module(f"bitskip.{_WHERE[name]}")
    except ModuleNotFoundError as error:
        from bitskip.extras import EXTRA_OF, how_to_get

        if error.name not in EXTRA_OF:
            raise
        raise ModuleNotFoundError(f"bitskip.{name}: {how_to_get(error.name)}", name=error.name) from None
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

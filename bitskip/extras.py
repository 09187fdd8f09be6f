"""Packages that come with an extra of bitskip: without one, what needs it says how to get it."""

from __future__ import annotations

import importlib.util

from bitskip.errors import UserError

EXTRA_OF = {
    "torch": "train",
    "jaxtyping": "train",
    "tokenizers": "train",
    "safetensors": "train",
    "ray": "ray",
    "optuna": "optuna",
    "datasets": "hub",
    "huggingface_hub": "hub",
    "matplotlib": "figures",
    "pandas": "pandas",
    "transformers": "models",
    "gguf": "models",
    "xllamacpp": "engines",
    "torchao": "engines",
    "tensorboardX": "tensorboard",
    "wandb": "wandb",
    "mlflow": "mlflow",
    "trackio": "trackio",
}
"""Extra of each package that the core does without; analysis, plans and predictions need none of them."""


def installed(package: str) -> bool:
    """Whether the package can be imported; does not import it."""
    try:
        found = importlib.util.find_spec(package)
        return found is not None and found.origin is not None  # else a mere folder of that name, such as `wandb`
    except ModuleNotFoundError:
        return False


def require(*packages: str) -> None:
    """Raises UserError, naming the extra, for a package that is not installed."""
    for package in packages:
        if not installed(package):
            raise UserError(how_to_get(package))


def how_to_get(package: str) -> str:
    """What to say where a package of an extra is missing."""
    return f"this needs {package}, which is not installed; pip install 'bitskip[{EXTRA_OF[package]}]'"

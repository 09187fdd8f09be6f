"""For tests that compile: a compiler would trace the checks of shapes, too."""

import functools
import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

SWITCH = "BITSKIP_UNCHECKED_SHAPES"


def unchecked_shapes(test: Callable[..., Any]) -> Callable[..., Any]:
    """Run a test in a process of its own, where shapes are not checked."""

    @functools.wraps(test)
    def run(*arguments: Any, **options: Any) -> None:
        if SWITCH in os.environ:
            return test(*arguments, **options)
        node = f"{inspect.getfile(test)}::{test.__name__}"
        again = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", node]
        found = subprocess.run(again, env=os.environ | {SWITCH: "1"}, capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stdout
        return None

    return run

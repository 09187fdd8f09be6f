"""A worker runs trial after trial in one process: each has to find it as a fresh process would be."""

from __future__ import annotations

import gc
import random
import signal
import sys


def reset_process(threads: int, seed: int = 0) -> None:
    """Undo what a trial can have left in this process: generators, threads, dtypes, flags, gradient mode, caches.

    Trials draw from generators of their own; a global one is seeded so that code which uses it is at least repeatable.
    """
    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)
    torch.set_flush_denormal(False)
    torch.set_float32_matmul_precision("highest")
    torch.use_deterministic_algorithms(False)
    torch.autograd.set_detect_anomaly(False)
    torch.clear_autocast_cache()
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = False
    torch.backends.mkldnn.enabled = True  # type: ignore[assignment]
    for device in ("cpu", "cuda"):
        torch.set_autocast_enabled(device, False)
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()
    signal.setitimer(signal.ITIMER_REAL, 0)  # of a trial with a time limit
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()

"""What a trial does at a step of a training of any length, from the functions that training calls."""

from torch import Tensor

from bitskip.techniques.activation_quantization import ActivationQuantization
from bitskip.techniques.phases import Phases
from bitskip.training.loop import drawn
from bitskip.trial.config import TrialConfig
from bitskip.trial.schedule import acting


def kept_blocks(trial: TrialConfig, step: int, steps: int) -> Tensor | None:
    return drawn(trial, step, steps)[2]


def bits_at(trial: TrialConfig, step: int, steps: int) -> int:
    return acting(trial, step, steps)[0].of(ActivationQuantization).bits


def phase_at(trial: TrialConfig, step: int, steps: int) -> str:
    return trial.of(Phases).phase_at(step, steps)

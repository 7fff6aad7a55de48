"""WaveNet, and the student that learns to sample in parallel."""

from . import spectra
from .baselines import Constant, LinearPredictor
from .distillation import (
    Distillation,
    Divergence,
    divergence,
    power_distance,
)
from .network import (
    Block,
    CausalConv,
    WaveNet,
    receptive_field,
)
from .queue import Stream, sample, sample_naive
from .student import CausalMAF, Conditionals, Student
from .teacher import Teacher

__all__ = [
    "Block",
    "CausalConv",
    "CausalMAF",
    "Conditionals",
    "Constant",
    "Distillation",
    "Divergence",
    "LinearPredictor",
    "Stream",
    "Student",
    "Teacher",
    "WaveNet",
    "divergence",
    "power_distance",
    "receptive_field",
    "sample",
    "sample_naive",
    "spectra",
]

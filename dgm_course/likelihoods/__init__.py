"""Likelihoods of integers, in nats, and what such a number means."""

from . import mu_law
from .base import Likelihood
from .bernoulli import Bernoulli
from .categorical import Categorical
from .colours import ColourLogistics
from .logistics import DiscretizedLogistics
from .units import bits_per_dim

__all__ = [
    "Bernoulli",
    "Categorical",
    "ColourLogistics",
    "DiscretizedLogistics",
    "Likelihood",
    "bits_per_dim",
    "mu_law",
]

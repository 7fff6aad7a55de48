"""Disentanglement: how it is measured, and what it is trained for."""

from .known import ideal, permuted, rotated, unrelated
from .metrics import (
    DCI,
    alive,
    all_scores,
    beta_vae_score,
    concentration,
    dci,
    factor_entropy,
    factor_vae_score,
    mig,
    mig_gaps,
    mutual_information,
)
from .tcvae import Decomposition, TCObjective, decompose, weighted_log_q

__all__ = [
    "DCI",
    "Decomposition",
    "TCObjective",
    "alive",
    "all_scores",
    "beta_vae_score",
    "concentration",
    "dci",
    "decompose",
    "factor_entropy",
    "factor_vae_score",
    "ideal",
    "mig",
    "mig_gaps",
    "mutual_information",
    "permuted",
    "rotated",
    "unrelated",
    "weighted_log_q",
]

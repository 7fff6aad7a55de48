"""Disentanglement: how it is measured, and what it is trained for."""

from .importances import DCI, concentration, dci
from .information import factor_entropy, mig, mig_gaps, mutual_information
from .known import ideal, permuted, rotated, unrelated
from .metrics import all_scores
from .tables import alive
from .tcvae import Decomposition, TCObjective, decompose, weighted_log_q
from .votes import beta_vae_score, factor_vae_score

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

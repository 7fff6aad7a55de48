"""Variational autoencoders: the model, its priors, and its ELBO cut open."""

from .discrete import DiscreteVAE
from .gaussians import Gaussians, kl_to_standard_normal, log_normal
from .model import VAE, Parts, mlp_vae
from .objective import Objective, binarize
from .posteriors import DiagonalGaussian, Posterior
from .priors import (
    AggregatedPosterior,
    GaussianMixture,
    MixtureOfGaussians,
    VampPrior,
)
from .surgery import (
    Codes,
    Surgery,
    aggregated,
    elbo_surgery,
    encode_all,
    minibatch_information,
)
from .tuned import (
    Gaps,
    best_codes,
    gaps,
    grid_log_likelihood,
    log_joint,
    log_weights,
    tune,
)

__all__ = [
    "VAE",
    "AggregatedPosterior",
    "Codes",
    "DiagonalGaussian",
    "DiscreteVAE",
    "Gaps",
    "GaussianMixture",
    "Gaussians",
    "MixtureOfGaussians",
    "Objective",
    "Parts",
    "Posterior",
    "Surgery",
    "VampPrior",
    "aggregated",
    "best_codes",
    "binarize",
    "elbo_surgery",
    "encode_all",
    "gaps",
    "grid_log_likelihood",
    "kl_to_standard_normal",
    "log_joint",
    "log_normal",
    "log_weights",
    "minibatch_information",
    "mlp_vae",
    "tune",
]

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

__all__ = [
    "VAE",
    "AggregatedPosterior",
    "Codes",
    "DiagonalGaussian",
    "DiscreteVAE",
    "GaussianMixture",
    "Gaussians",
    "MixtureOfGaussians",
    "Objective",
    "Parts",
    "Posterior",
    "Surgery",
    "VampPrior",
    "aggregated",
    "binarize",
    "elbo_surgery",
    "encode_all",
    "kl_to_standard_normal",
    "log_normal",
    "minibatch_information",
    "mlp_vae",
]

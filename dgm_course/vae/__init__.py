"""Variational autoencoders: the model, its priors, and its ELBO cut open."""

from .discrete import DiscreteVAE
from .gaussians import Gaussians, kl_to_standard_normal, log_normal
from .iaf_vae import IAFVAE, IAFStep, LatentLayer
from .inference import (
    best_outputs,
    encoder_outputs,
    output_weights,
    posterior_gaps,
    tune_outputs,
)
from .model import VAE, Parts, mlp_vae
from .objective import Objective, binarize
from .posteriors import (
    DiagonalGaussian,
    FlowPosterior,
    Posterior,
    iaf_posterior,
)
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
    "IAFVAE",
    "VAE",
    "AggregatedPosterior",
    "Codes",
    "DiagonalGaussian",
    "DiscreteVAE",
    "FlowPosterior",
    "Gaps",
    "GaussianMixture",
    "Gaussians",
    "IAFStep",
    "LatentLayer",
    "MixtureOfGaussians",
    "Objective",
    "Parts",
    "Posterior",
    "Surgery",
    "VampPrior",
    "aggregated",
    "best_codes",
    "best_outputs",
    "binarize",
    "elbo_surgery",
    "encode_all",
    "encoder_outputs",
    "gaps",
    "grid_log_likelihood",
    "iaf_posterior",
    "kl_to_standard_normal",
    "log_joint",
    "log_normal",
    "log_weights",
    "minibatch_information",
    "mlp_vae",
    "output_weights",
    "posterior_gaps",
    "tune",
    "tune_outputs",
]

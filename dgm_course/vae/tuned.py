"""Gaussian posteriors tuned to one object each: what the encoder loses.

Cremer, Li and Duvenaud, "Inference suboptimality in variational
autoencoders", 2018. Let q* be the best diagonal Gaussian for the object x and
q the encoder's. The gap of the bound has two parts,

    log p(x) - ELBO(q) = (log p(x) - ELBO(q*)) + (ELBO(q*) - ELBO(q)),

the approximation gap, which a richer family of posteriors can close, and the
amortization gap, which a better encoder can.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .gaussians import log_normal
from .model import VAE
from .surgery import Codes, encode_all


class Gaps(NamedTuple):
    """Lower bounds of log p(x) for n objects, each (n,) in nats.

    Attributes:
        elbo: With the encoder's Gaussians.
        bound: Importance-weighted, with the encoder's Gaussians.
        tuned_elbo: With the tuned Gaussians.
        tuned_bound: Importance-weighted, with the tuned Gaussians.
    """

    elbo: Tensor
    bound: Tensor
    tuned_elbo: Tensor
    tuned_bound: Tensor

    @property
    def amortization(self) -> Tensor:
        """What tuning gains, (n,): on average no more than the whole gap."""
        return self.tuned_elbo - self.elbo

    @property
    def approximation(self) -> Tensor:
        """What the tuned Gaussian leaves, (n,), up to the tuned bound."""
        return self.tuned_bound - self.tuned_elbo


@torch.no_grad()
def log_joint(model: VAE, x: Tensor, z: Tensor) -> Tensor:
    """Evaluate log p(x_i, z_k) for all pairs.

    Args:
        model: A VAE.
        x: Objects (n, ...).
        z: Codes (K, d).

    Returns:
        (n, K), in nats.
    """
    log_x = model.likelihood.log_prob_pairs(x, model.decoder(z))
    return log_x + model.prior.log_prob(z)


@torch.no_grad()
def grid_log_likelihood(
    model: VAE, x: Tensor, points: int = 400, box: float = 5.0
) -> Tensor:
    """Log p(x) of a VAE with two latent dimensions: a sum over a grid.

    It converges faster than any power of the spacing once this is below the
    width of the true posteriors; double ``points`` to see that it has.

    Args:
        model: A VAE with d = 2.
        x: Objects (n, ...).
        points: Points per axis.
        box: Half the side of a square around the origin; outside of 5 lies
            a millionth of N(0, I).

    Returns:
        Log p(x) in nats, (n,).

    Raises:
        ValueError: If d is not 2.
    """
    if model.posterior.dim != 2:
        raise ValueError(
            f"the model has {model.posterior.dim} latent dimensions; a grid "
            "serves 2 (for more, see the bounds of `gaps`)"
        )
    dtype, device = model.zero.dtype, model.zero.device
    ticks = torch.linspace(-box, box, points, dtype=dtype, device=device)
    rows = [
        log_joint(model, x, torch.cartesian_prod(part, ticks)).logsumexp(1)
        for part in ticks.split(max(1, 8000 // points))
    ]
    spacing = 2 * box / (points - 1)
    return torch.stack(rows).logsumexp(0) + 2 * math.log(spacing)


@torch.no_grad()
def log_weights(model: VAE, x: Tensor, codes: Codes, k: int) -> Tensor:
    """Log p(x, z) - log q(z) at k codes z of each object's Gaussian q.

    Their mean estimates the ELBO of q, the logarithm of the mean of their
    exponentials the importance-weighted bound (Burda et al., 2016).

    Args:
        model: A VAE.
        x: Objects (n, ...).
        codes: Their Gaussians.
        k: Codes per object.

    Returns:
        (n, k), in nats.
    """
    rows = []
    for _ in range(k):
        z = codes.sample()
        log_p = model.likelihood.log_prob(x, model.decoder(z))
        log_p = log_p + model.prior.log_prob(z)
        rows.append(log_p - log_normal(z, *codes))
    return torch.stack(rows, 1)


def both_bounds(weights: Tensor) -> tuple[Tensor, Tensor]:
    """The ELBO and the importance-weighted bound from log-weights (n, k).

    Both are (n,), in nats.
    """
    k = weights.shape[1]
    return weights.mean(1), weights.logsumexp(1) - math.log(k)


@torch.enable_grad()
def descend(
    free: list[Tensor], loss: Callable[[], Tensor], steps: int, lr: float
) -> None:
    """Minimize over tensors alone: no weight of a model gets a gradient.

    Args:
        free: Leaf tensors of any shapes, changed in place.
        loss: A scalar of them.
        steps: Updates of Adam, whose step size falls to 0 along a cosine.
        lr: Its step size at the start.
    """
    optimizer = torch.optim.Adam(free, lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        for part, grad in zip(free, torch.autograd.grad(loss(), free)):
            part.grad = grad
        optimizer.step()
        schedule.step()


def tune(
    model: VAE,
    x: Tensor,
    start: Codes,
    steps: int = 300,
    lr: float = 0.03,
    samples: int = 2,
) -> Codes:
    """Maximize the ELBO of each object over a diagonal Gaussian of its own.

    Args:
        model: A VAE; it stays as it is.
        x: Objects (n, ...).
        start: Where their Gaussians start; what is found is a local optimum.
        steps: Updates of Adam, whose step size falls to 0 along a cosine.
        lr: Its step size at the start.
        samples: Codes per object and update.

    Returns:
        The tuned Gaussians.
    """
    mean, log_std = (part.clone().requires_grad_() for part in start)
    x = x.repeat(samples, *[1] * (x.ndim - 1))

    def loss() -> Tensor:
        noise = mean.new_empty(samples, *mean.shape).normal_()
        z = (mean + log_std.exp() * noise).flatten(0, 1)
        log_p = model.likelihood.log_prob(x, model.decoder(z))
        log_p = (log_p + model.prior.log_prob(z)).view(samples, -1).mean(0)
        # -E log q is log_std.sum(1), up to a constant
        return -(log_p + log_std.sum(1)).sum()

    descend([mean, log_std], loss, steps, lr)
    return Codes(mean.detach(), log_std.detach())


def best_codes(
    model: VAE, x: Tensor, candidates: Tensor, steps: int = 300
) -> Codes:
    """Tune from two starts, and keep for each object what is better.

    One start is the encoder's Gaussian. The other has its mean where
    log p(x, z) is largest among the candidates: an encoder that proposes the
    wrong region is not helped by small steps.

    Args:
        model: A VAE whose posterior is a diagonal Gaussian.
        x: Objects (n, ...).
        candidates: Codes (K, d), such as means of training objects.
        steps: Updates from each start.

    Returns:
        The tuned Gaussians.
    """
    encoder = encode_all(model, x)
    nearest = candidates[log_joint(model, x, candidates).argmax(1)]
    found = [
        tune(model, x, start, steps)
        for start in (encoder, Codes(nearest, encoder.log_std))
    ]
    first, second = (log_weights(model, x, c, 100).mean(1) for c in found)
    keep = (first >= second)[:, None]
    return Codes(*(torch.where(keep, a, b) for a, b in zip(*found)))


def gaps(
    model: VAE, x: Tensor, candidates: Tensor, k: int = 500, steps: int = 300
) -> Gaps:
    """Bound log p(x) with the encoder's Gaussians and with tuned ones.

    Args:
        model: A VAE whose posterior is a diagonal Gaussian.
        x: Objects (n, ...).
        candidates: Codes (K, d) for :func:`best_codes`.
        k: Codes per object and bound.
        steps: Updates from each start.
    """
    bounds: list[Tensor] = []
    for codes in (
        encode_all(model, x),
        best_codes(model, x, candidates, steps),
    ):
        weights = log_weights(model, x, codes, k)
        bounds += both_bounds(weights)
    return Gaps(*bounds)

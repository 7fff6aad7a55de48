"""What a posterior of any family loses, and whether family or encoder does it.

:mod:`~dgm_course.vae.tuned` tunes Gaussians; here the encoder's *output* is
tuned for each object, whatever the posterior makes of it. The family is what
an encoder could ask of the posterior: mean, scale and context are free, the
weights of a flow are those that were trained (Cremer, Li and Duvenaud, 2018).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .model import VAE
from .tuned import Gaps, both_bounds, descend, log_joint


@torch.no_grad()
def encoder_outputs(model: VAE, x: Tensor, batch_size: int = 1000) -> Tensor:
    """Return what the encoder says of all objects.

    Args:
        model: A VAE.
        x: Objects (n, ...).
        batch_size: Objects encoded at once.

    Returns:
        (n, posterior.inputs).
    """
    return torch.cat([model.encode(some) for some in x.split(batch_size)])


@torch.no_grad()
def output_weights(model: VAE, x: Tensor, h: Tensor, k: int) -> Tensor:
    """Log p(x, z) - log q(z|h) at k codes of each object's posterior.

    Their mean estimates the ELBO, the logarithm of the mean of their
    exponentials the importance-weighted bound (Burda et al., 2016).

    Args:
        model: A VAE.
        x: Objects (n, ...).
        h: Outputs of an encoder for them, (n, posterior.inputs).
        k: Codes per object.

    Returns:
        (n, k), in nats.
    """
    return torch.stack([model._log_weights(x, h) for _ in range(k)], 1)


def tune_outputs(
    model: VAE,
    x: Tensor,
    start: Tensor,
    steps: int = 300,
    lr: float = 0.03,
    samples: int = 2,
) -> Tensor:
    """Maximize the ELBO of each object over the output of its encoder.

    Args:
        model: A VAE; it stays as it is.
        x: Objects (n, ...).
        start: Where their outputs start, (n, posterior.inputs); what is found
            is a local optimum.
        steps: Updates of Adam, whose step size falls to 0 along a cosine.
        lr: Its step size at the start.
        samples: Codes per object and update.

    Returns:
        The tuned outputs, (n, posterior.inputs).
    """
    h = start.clone().requires_grad_()
    x = x.repeat(samples, *[1] * (x.ndim - 1))

    def loss() -> Tensor:
        return -model._log_weights(x, h.repeat(samples, 1)).sum() / samples

    descend([h], loss, steps, lr)
    return h.detach()


@torch.no_grad()
def best_outputs(
    model: VAE, x: Tensor, candidates: Tensor, steps: int = 300
) -> Tensor:
    """Tune from two starts, and keep for each object what is better.

    One start is the encoder's own output. The other is the output, among the
    candidates, whose code has the largest log p(x, z): an encoder that
    proposes the wrong region is not helped by small steps.

    Args:
        model: A VAE.
        x: Objects (n, ...).
        candidates: Outputs of the encoder for other objects, (K, inputs).
        steps: Updates from each start.

    Returns:
        The tuned outputs, (n, posterior.inputs).
    """
    z, _ = model.posterior.rsample_and_log_prob(candidates)
    nearest = candidates[log_joint(model, x, z).argmax(1)]
    found = [
        tune_outputs(model, x, start, steps)
        for start in (encoder_outputs(model, x), nearest)
    ]
    first, second = (output_weights(model, x, h, 100).mean(1) for h in found)
    return torch.where((first >= second)[:, None], found[0], found[1])


@torch.no_grad()
def posterior_gaps(
    model: VAE, x: Tensor, candidates: Tensor, k: int = 500, steps: int = 300
) -> Gaps:
    """Bound log p(x) with the encoder's posteriors and with tuned ones.

    Args:
        model: A VAE with any posterior.
        x: Objects (n, ...).
        candidates: Outputs (K, inputs) for :func:`best_outputs`.
        k: Codes per object and bound.
        steps: Updates from each start.
    """
    bounds: list[Tensor] = []
    for h in (
        encoder_outputs(model, x),
        best_outputs(model, x, candidates, steps),
    ):
        weights = output_weights(model, x, h, k)
        bounds += both_bounds(weights)
    return Gaps(*bounds)

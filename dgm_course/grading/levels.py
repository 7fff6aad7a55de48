"""Levels of a trained question, and weak training that must miss them."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

TRAINING = """
def train(x, seed):
    torch.manual_seed(seed)
    model = {model}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range({steps}):
        loss = -model.log_prob(x[torch.randint(len(x), (256,))]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model
"""


def levels(
    start: float, limit: float, parts: Sequence[float]
) -> list[tuple[float, float]]:
    """One point for each part of the way from a weak density to the best.

    The last part must stay well below what the model solution reaches with
    any seed: measure its mean and standard deviation over seeds first.

    Args:
        start: Mean log-likelihood of a weak density on the test points, nats.
        limit: That of the true density.
        parts: Fractions of the way, rising.

    Returns:
        The ``thresholds`` of ``Trained``.
    """
    return [(round(start + part * (limit - start), 2), 1.0) for part in parts]


def of_a_gaussian(x_train: Tensor, x_test: Tensor) -> float:
    """Mean log-likelihood of test points by the Gaussian of training points.

    Args:
        x_train: (N, D).
        x_test: (M, D).

    Returns:
        Nats per point, a ``start`` of :func:`levels`.
    """
    fitted = MultivariateNormal(x_train.mean(0), torch.cov(x_train.T))
    return fitted.log_prob(x_test).mean().item()


def weak(model: str, steps: int) -> str:
    """Source of a ``train`` that fits ``model``, an expression, by Adam."""
    return TRAINING.format(model=model, steps=steps)

"""The mutual information gap: how much one unit knows that no other does.

Chen, Li, Grosse and Duvenaud, "Isolating Sources of Disentanglement in
Variational Autoencoders", 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .tables import levels_of, tables


def mutual_information(
    codes: Tensor, factors: Tensor, bins: int = 20
) -> Tensor:
    """I[z_j; v_k] in nats between each unit, in bins, and each factor, (d, K).

    The bins have equal widths between a unit's extremes. The estimate is that
    of the table itself: with n rows drawn at random it is too large on
    average, by about (bins - 1)(levels - 1) / (2n) where there is none.

    Args:
        codes: (n, d).
        factors: (n, K).
        bins: Number of bins of a unit.

    Raises:
        ValueError: If there are fewer than two bins.
    """
    if bins < 2:
        raise ValueError(f"bins = {bins}; expected at least 2")
    codes, levels = tables(codes, factors)
    low, high = codes.amin(0), codes.amax(0)
    place = (codes - low) / (high - low).clamp(min=1e-300) * bins
    place = place.long().clamp(max=bins - 1)
    found = torch.empty(codes.shape[1], levels.shape[1], dtype=torch.float64)
    for j, bin_of in enumerate(place.unbind(1)):
        for k, level in enumerate(levels.unbind(1)):
            size = int(level.max()) + 1
            joint = torch.bincount(bin_of * size + level, minlength=bins * size)
            joint = joint.view(bins, size)
            found[j, k] = (
                _entropy(joint.sum(0))
                + _entropy(joint.sum(1))
                - _entropy(joint.flatten())
            )
    return found


def factor_entropy(factors: Tensor) -> Tensor:
    """H[v_k] in nats of each factor, (K,), float64."""
    levels = levels_of(factors)
    return torch.stack(
        [_entropy(torch.bincount(level)) for level in levels.unbind(1)]
    )


def mig_gaps(codes: Tensor, factors: Tensor, bins: int = 20) -> Tensor:
    """The gap of each factor, (K,); their mean is the mutual information gap.

    (I of the best unit - I of the second best) / H[v_k] (Chen et al., 2018,
    equation 6). I[z_j; v_k] is at most H[v_k], so a gap lies in [0, 1].

    Args:
        codes: (n, d), at least two units.
        factors: (n, K).
        bins: As in :func:`mutual_information`.

    Raises:
        ValueError: If there is one unit only.
    """
    if codes.ndim == 2 and codes.shape[1] < 2:
        raise ValueError("codes have one unit; a gap needs two or more")
    information = mutual_information(codes, factors, bins)
    best = information.topk(2, dim=0).values
    return (best[0] - best[1]) / factor_entropy(factors)


def mig(codes: Tensor, factors: Tensor, bins: int = 20) -> float:
    """The mutual information gap of codes (n, D): the mean of the gaps.

    Arguments: see :func:`mig_gaps`.
    """
    return mig_gaps(codes, factors, bins).mean().item()


def _entropy(counts: Tensor) -> Tensor:
    shares = counts.double() / counts.sum()
    return torch.special.entr(shares).sum()

"""Disentanglement, completeness and informativeness, from importances.

Eastwood and Williams, "A Framework for the Quantitative Evaluation of
Disentangled Representations", 2018.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .tables import tables


class DCI(NamedTuple):
    """What importances say of a code (Eastwood and Williams, 2018).

    Attributes:
        disentanglement: Whether a unit is important for one factor only: 1
            minus the entropy of its importances to base K, weighted by how
            important it is.
        completeness: Whether one unit only is important for a factor: 1 minus
            the entropy of its importances to base d, on average.
        informativeness: Share of a factor's variance that is predicted on
            rows that were held out, on average; can be below 0.
        importances: (d, K); those of a factor sum to 1.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importances: Tensor


def dci(codes: Tensor, factors: Tensor, seed: int = 0, trees: int = 10) -> DCI:
    """Disentanglement, completeness and informativeness of a code.

    A random forest for each factor predicts its level from the whole code.
    The importance of a unit is the share of variance that its splits remove.
    Half of the rows are held out. This needs scikit-learn.

    Args:
        codes: (n, d).
        factors: (n, K).
        seed: Fixes the forests and which rows are held out.
        trees: Trees in a forest.
    """
    from sklearn.ensemble import RandomForestRegressor

    codes, levels = tables(codes, factors)
    order = torch.randperm(
        len(codes), generator=torch.Generator().manual_seed(seed)
    )
    fitted, held = order.chunk(2)
    x, y = codes.numpy(), levels.double().numpy()
    columns, scores = [], []
    for k in range(levels.shape[1]):
        # small leaves of one row would fit the noise of every other unit
        forest = RandomForestRegressor(
            trees, min_samples_leaf=5, random_state=seed
        )
        forest.fit(x[fitted], y[fitted, k])
        columns.append(torch.from_numpy(forest.feature_importances_))
        scores.append(forest.score(x[held], y[held, k]))
    importances = torch.stack(columns, 1)
    weight = importances.sum(1) / importances.sum().clamp(min=1e-300)
    return DCI(
        (weight * concentration(importances, 1)).sum().item(),
        concentration(importances, 0).mean().item(),
        sum(scores) / len(scores),
        importances,
    )


def concentration(importances: Tensor, axis: int) -> Tensor:
    """1 minus the entropy along an axis, to the base of its length.

    1 where one entry alone is above 0, 0 where all are equal; 0 as well where
    there is nothing, since a dead unit stands for no factor.

    Args:
        importances: Non-negative numbers (d, K).
        axis: 0 to compare the units of a factor, 1 the factors of a unit.
    """
    total = importances.sum(axis, keepdim=True)
    shares = importances / total.clamp(min=1e-300)
    entropy = torch.special.entr(shares).sum(axis)
    base = math.log(max(2, importances.shape[axis]))
    return torch.where(total.squeeze(axis) > 0, 1 - entropy / base, 0.0)

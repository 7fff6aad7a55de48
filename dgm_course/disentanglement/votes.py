"""Scores by vote: pictures that share one factor, and a guess at which.

Higgins et al., "beta-VAE: Learning Basic Visual Concepts with a Constrained
Variational Framework", 2017; Kim and Mnih, "Disentangling by Factorising",
2018.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .tables import tables


def beta_vae_score(
    codes: Tensor,
    factors: Tensor,
    seed: int = 0,
    votes: int = 1000,
    pairs: int = 64,
) -> float:
    """How often a linear classifier names the factor that pairs share.

    A vote is the mean distance, unit by unit, over pairs of pictures that
    agree in one factor (Higgins et al., 2017, section 3). Half of the votes
    train the classifier, the other half are its score; chance is 1 / K.

    Args:
        codes: (n, d).
        factors: (n, K).
        seed: Fixes the draw of the votes.
        votes: Number of votes, over all factors.
        pairs: Pairs behind each vote.
    """
    codes, levels = tables(codes, factors)
    draw = torch.Generator().manual_seed(seed)
    features, labels = [], []
    for k, level in enumerate(levels.unbind(1)):
        size = (votes // levels.shape[1], pairs)
        rows = torch.randint(len(codes), size, generator=draw)
        other = _partners(level, rows, draw)
        features.append((codes[rows] - codes[other]).abs().mean(1))
        labels.append(torch.full(size[:1], k))
    x, y = torch.cat(features), torch.cat(labels)
    return _linear_accuracy(x[::2], y[::2], x[1::2], y[1::2])


def factor_vae_score(
    codes: Tensor,
    factors: Tensor,
    seed: int = 0,
    votes: int = 1000,
    batch: int = 64,
) -> float:
    """How often the unit that varies least names the factor that is fixed.

    A vote fixes one level of one factor, draws a batch of pictures and takes
    the unit with the smallest variance, in units of its variance over all
    pictures (Kim and Mnih, 2018, section 4). Half of the votes say which
    factor goes with which unit, by majority; the other half are the score.

    Args:
        codes: (n, d).
        factors: (n, K).
        seed: Fixes the draw of the votes.
        votes: Number of votes, over all factors.
        batch: Pictures behind each vote.
    """
    codes, levels = tables(codes, factors)
    draw = torch.Generator().manual_seed(seed)
    total = codes.var(0)
    table = torch.zeros(2, codes.shape[1], levels.shape[1])
    for k, level in enumerate(levels.unbind(1)):
        size = (votes // levels.shape[1], 1)
        first = torch.randint(len(codes), size, generator=draw)
        rows = _partners(level, first.expand(-1, batch), draw)
        # a dead unit is 0 / 0, and never the one that varies least
        share = (codes[rows].var(1) / total).nan_to_num(math.inf)
        for half in range(2):
            least = share[half::2].argmin(1)
            table[half, :, k] = torch.bincount(least, minlength=len(total))
    names = table[0].argmax(1, keepdim=True)  # of the factor of each unit
    right = table[1].gather(1, names).sum() / table[1].sum()
    return right.item()


def _partners(level: Tensor, rows: Tensor, draw: torch.Generator) -> Tensor:
    """For each row a random one with the same level of a factor."""
    order = level.argsort(stable=True)
    counts = torch.bincount(level)
    first = counts.cumsum(0) - counts
    wanted = level[rows]
    u = torch.rand(rows.shape, generator=draw, dtype=torch.float64)
    return order[first[wanted] + (u * counts[wanted]).long()]


def _linear_accuracy(
    x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor
) -> float:
    """Share of right answers of a softmax regression fitted to (x, y)."""
    scale = x.std(0).clamp(min=1e-12)
    x, x_test = ((v - x.mean(0)) / scale for v in (x, x_test))
    classes = int(y.max()) + 1
    weight = x.new_zeros(x.shape[1] + 1, classes).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weight], max_iter=100, line_search_fn="strong_wolfe"
    )

    def logits(v: Tensor) -> Tensor:
        return v @ weight[:-1] + weight[-1]

    def closure() -> Tensor:
        optimizer.zero_grad()
        # the penalty keeps separable votes from asking for infinite weights
        loss = torch.nn.functional.cross_entropy(logits(x), y)
        loss = loss + 1e-4 * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return (logits(x_test).argmax(1) == y_test).double().mean().item()

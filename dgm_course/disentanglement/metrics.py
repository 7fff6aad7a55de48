"""How well single units of a code stand for single factors of the world.

All scores look at two tables with one row per picture: its code, the means of
q(z|x), and its factors, integer levels that are independent of each other.
They lie in [0, 1] or close to it, and larger is better. Means are asked for,
since noise that a decoder never relies on would be held against the code; a
unit whose mean hardly moves is *dead* and counts as constant, else its last
digits would be read as information.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

DEAD = 0.05  # variance of a mean over the data; that of the prior is 1


def alive(codes: Tensor, dead: float = DEAD) -> Tensor:
    """Which units are used: their means vary by more than ``dead``, (d,)."""
    return codes.var(0, correction=0) > dead


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
    codes, levels = _tables(codes, factors)
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
    codes, levels = _tables(codes, factors)
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
    codes, levels = _tables(codes, factors)
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
    levels = _levels(factors)
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

    codes, levels = _tables(codes, factors)
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


def all_scores(
    codes: Tensor,
    factors: Tensor,
    seeds: Iterable[int] = range(5),
    rows: int = 5000,
) -> dict[str, Tensor]:
    """All scores, again and again, to see how they scatter.

    Each seed draws its own rows, votes and forests. The scatter is that of
    the measurement of this one code: it says nothing of another training run.

    Args:
        codes: (n, d).
        factors: (n, K).
        seeds: One repetition each.
        rows: Rows drawn without replacement for MIG and DCI, at most n.

    Returns:
        For each score its values, one a seed; :func:`mean_and_se
        <dgm_course.verify.mean_and_se>` makes a mean and an error of them.
    """
    found: dict[str, list[float]] = {}
    for seed in seeds:
        draw = torch.Generator().manual_seed(seed)
        some = torch.randperm(len(codes), generator=draw)[:rows]
        forests = dci(codes[some], factors[some], seed)
        one = {
            "beta-VAE score": beta_vae_score(codes, factors, seed),
            "FactorVAE score": factor_vae_score(codes, factors, seed),
            "MIG": mig(codes[some], factors[some]),
            "disentanglement": forests.disentanglement,
            "completeness": forests.completeness,
            "informativeness": forests.informativeness,
        }
        for name, value in one.items():
            found.setdefault(name, []).append(value)
    return {name: torch.tensor(values) for name, values in found.items()}


def _tables(codes: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """Codes in float64, dead units at 0, and levels counted from 0."""
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors):
        raise ValueError(
            f"codes have shape {tuple(codes.shape)}, factors "
            f"{tuple(factors.shape)}; expected (n, d) and (n, K), one row of "
            "each for a picture"
        )
    codes = codes.detach().cpu().double()
    if not codes.isfinite().all():
        raise ValueError("codes hold values that are not finite")
    return codes * alive(codes), _levels(factors)


def _levels(factors: Tensor) -> Tensor:
    if factors.is_floating_point():
        raise ValueError(
            f"factors are {factors.dtype}; expected integers, the levels"
        )
    levels = torch.stack(
        [
            column.unique(return_inverse=True)[1]
            for column in factors.detach().cpu().unbind(1)
        ],
        1,
    )
    constant = (levels.amax(0) == 0).nonzero().flatten().tolist()
    if constant:
        raise ValueError(
            f"columns {constant} of the factors have one level only: nothing "
            "can be said of them; leave them out"
        )
    return levels


def _partners(level: Tensor, rows: Tensor, draw: torch.Generator) -> Tensor:
    """For each row a random one with the same level of a factor."""
    order = level.argsort(stable=True)
    counts = torch.bincount(level)
    first = counts.cumsum(0) - counts
    wanted = level[rows]
    u = torch.rand(rows.shape, generator=draw, dtype=torch.float64)
    return order[first[wanted] + (u * counts[wanted]).long()]


def _linear_accuracy(x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor):
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


def _entropy(counts: Tensor) -> Tensor:
    shares = counts.double() / counts.sum()
    return torch.special.entr(shares).sum()

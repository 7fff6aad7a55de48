"""All scores of how well units of a code stand for factors of the world.

They lie in [0, 1] or close to it, and larger is better. Chapter 11 derives
them; what they look at: :mod:`~dgm_course.disentanglement.tables`.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from .importances import dci
from .information import mig
from .votes import beta_vae_score, factor_vae_score


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

"""Mutants of the chapter on ELBO surgery."""

import math

import torch

from dgm_course import vae
from dgm_course.vae import discrete, surgery
from mutants import breaks


@breaks(
    "Theorem 8.1: log p(x) - KL(q(z|x) || p(z|x))",
    "Theorem 8.2: the library's terms are these",
    "Proposition 8.4: E I_B = I - E KL(q_B || q)",
)
def swap_kl(monkeypatch):
    """KL(p || q) in the place of KL(q || p)."""
    right = discrete._kl

    def wrong(q, p):
        return right(*torch.broadcast_tensors(p, q))

    monkeypatch.setattr(discrete, "_kl", wrong)


@breaks("Theorem 8.2: Gaussian codes: KL - I - marginal KL = 0")
def average_kl(monkeypatch):
    """The KL of a digit is averaged over its latent dimensions."""
    monkeypatch.setattr(
        vae.Parts, "kl", property(lambda parts: parts.kl_groups.mean(1))
    )


@breaks(
    "Proposition 8.3: Gaussian codes: the two forms agree",
    "Theorem 8.2: q(z) over all codes integrates to one",
)
def forget_log_n(monkeypatch):
    """q(z) is the sum of the posteriors, not their mean."""
    right = surgery.aggregated

    def wrong(z, codes, memory=64):
        log_q, entropy = right(z, codes, memory)
        return log_q + math.log(len(codes.mean)), entropy

    monkeypatch.setattr(surgery, "aggregated", wrong)
    monkeypatch.setattr(vae, "aggregated", wrong)


@breaks("Theorem 8.2: Gaussian codes: KL - I - marginal KL = 0")
def leave_one_out(monkeypatch):
    """q(z) at a code of digit i without the posterior of digit i."""
    right = surgery.aggregated

    def wrong(z, codes, memory=64):
        pairs = vae.Gaussians(*codes).log_prob(z)
        pairs.fill_diagonal_(-math.inf)
        log_q = pairs.logsumexp(1) - math.log(len(codes.mean) - 1)
        return log_q, right(z, codes, memory)[1]

    monkeypatch.setattr(surgery, "aggregated", wrong)

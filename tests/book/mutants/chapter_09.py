"""Mutants of the chapter on priors."""

import math

import torch

from dgm_course import vae
from dgm_course.vae import discrete
from mutants import breaks


@breaks(
    "Theorem 9.1: gain of q(z) = marginal KL",
    "Corollary 9.2: gain = KL(q || p) - KL(q || p')",
    "Proposition 9.3: gain = KL(q' || p) - KL(q' || q)",
)
def swap_kl(monkeypatch):
    """KL(p || q) in the place of KL(q || p)."""
    right = discrete._kl

    def wrong(q, p):
        return right(*torch.broadcast_tensors(p, q))

    monkeypatch.setattr(discrete, "_kl", wrong)


@breaks(
    "Theorem 9.1: Gaussian codes: KL = I",
    "Proposition 9.4: mixture: integrates to one",
)
def forget_log_k(monkeypatch):
    """A mixture of K components integrates to K."""
    right = vae.GaussianMixture.log_prob

    def wrong(self, z):
        return right(self, z) + math.log(len(self.components()[0]))

    monkeypatch.setattr(vae.GaussianMixture, "log_prob", wrong)


@breaks("Proposition 9.4: each of them gets a gradient")
def detach_pseudo_inputs(monkeypatch):
    """No gradient reaches the pseudo-inputs."""

    def wrong(self):
        return torch.sigmoid(self.logits.detach()) + 0 * self.logits

    monkeypatch.setattr(vae.VampPrior, "pseudo_inputs", property(wrong))


@breaks("Proposition 9.4: pseudo-inputs lie in [0, 1]")
def unbounded_pseudo_inputs(monkeypatch):
    """Pseudo-inputs without the sigmoid leave the range of pixels."""
    monkeypatch.setattr(
        vae.VampPrior, "pseudo_inputs", property(lambda self: self.logits)
    )

"""Mutants of the chapter on inverse autoregressive flows."""

import torch

from dgm_course import flows
from mutants import breaks


@breaks(
    "Proposition 5.1: and the same ladj",
    "Proposition 5.2: and that is its ladj",
    "Theorem 5.3: (5.6), sample by sample",
)
def flip_maf(monkeypatch):
    """MAF's forward returns minus its log-determinant."""
    forward = flows.MAF.forward

    def wrong(self, x, context=None):
        z, ladj = forward(self, x, context)
        return z, -ladj

    monkeypatch.setattr(flows.MAF, "forward", wrong)


@breaks("Proposition 5.5: f by masks, swap = True")
def permute_twice(monkeypatch):
    """The inverse of a permutation applies it again."""

    def wrong(self, z, context=None):
        return z[:, self.order], z.new_zeros(len(z))

    monkeypatch.setattr(flows.Permutation, "inverse", wrong)


@breaks("Theorem 5.3: and samples of x agree with it")
def swap_divergence(monkeypatch):
    """KL(q || p) in the place of KL(p || q), for torch's distributions."""
    right = torch.distributions.kl_divergence
    monkeypatch.setattr(
        torch.distributions, "kl_divergence", lambda p, q: right(q, p)
    )


@breaks(
    "Proposition 5.2: own samples: density from that pass",
    "Theorem 5.3: samples of z against a grid over x",
)
def add_the_ladj(monkeypatch):
    """The density of own samples adds the log-determinant."""

    def wrong(self, n, context=None):
        z = self.base.sample(n)
        x, ladj = self.flow.inverse(z, context)
        return x, self.base.log_prob(z) + ladj

    monkeypatch.setattr(flows.FlowModel, "rsample_and_log_prob", wrong)


@breaks("Proposition 5.5: ladj of g by masks, swap = False")
def forget_to_negate(monkeypatch):
    """The inverse returns the log-determinant of the forward map."""
    inverse = flows.AffineCoupling.inverse

    def wrong(self, z, context=None):
        x, ladj = inverse(self, z, context)
        return x, -ladj

    monkeypatch.setattr(flows.AffineCoupling, "inverse", wrong)


# rows of check cells that no mutant breaks yet
OWED = {
    "Proposition 5.2: a chain subtracts all log sigma",
    "Corollary 5.4: and they are not zero",
}

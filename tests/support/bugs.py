"""Bugs of the library that the mutants of several notebooks share."""

import torch

from dgm_course import flows, verify
from dgm_course.dequantization import Dequantized, Uniform
from dgm_course.likelihoods import Bernoulli
from dgm_course.vae import discrete


def negate(monkeypatch, flow, way):
    """One way of a flow or of a conditional returns minus its ladj."""
    right = getattr(flow, way)

    def wrong(self, *given, **named):
        value, ladj = right(self, *given, **named)
        return value, -ladj

    monkeypatch.setattr(flow, way, wrong)


def forget_to_negate(monkeypatch):
    """The inverse returns the log-determinant of the forward map."""
    negate(monkeypatch, flows.AffineCoupling, "inverse")


def flip_scaling(monkeypatch):
    """The elementwise scaling returns minus its log-determinant."""
    negate(monkeypatch, flows.ElementwiseAffine, "forward")


def swap_kl(monkeypatch):
    """KL(p || q) in the place of KL(q || p)."""
    right = discrete._kl

    def wrong(q, p):
        return right(*torch.broadcast_tensors(p, q))

    monkeypatch.setattr(discrete, "_kl", wrong)


def add_the_kl(monkeypatch):
    """The bound adds the divergence from the prior."""
    monkeypatch.setattr(
        discrete.DiscreteVAE,
        "elbo",
        property(lambda toy: toy.reconstruction + toy.kl),
    )


def widen_the_interval(monkeypatch):
    """Quadrature weights of [-1, 1] on [0, 1]."""
    right = verify.gauss_legendre

    def wrong(n):
        nodes, weights = right(n)
        return nodes, 2 * weights

    monkeypatch.setattr(verify, "gauss_legendre", wrong)


def wide_noise(monkeypatch):
    """Noise from [0, 2) instead of [0, 1)."""

    def wrong(self, x):
        return 2 * torch.rand_like(x), x.new_zeros(len(x))

    monkeypatch.setattr(Uniform, "forward", wrong)


def share_the_noise(monkeypatch):
    """One u for all pixels of a picture."""

    def wrong(self, x):
        u = torch.rand(len(x), 1, dtype=x.dtype).expand_as(x)
        return u, x.new_zeros(len(x))

    monkeypatch.setattr(Uniform, "forward", wrong)


def forget_log_k(monkeypatch):
    """The k-sample bound is the log of a sum."""

    def wrong(self, x, k, context=None):
        return torch.stack([self.elbo(x) for _ in range(k)]).logsumexp(0)

    monkeypatch.setattr(Dequantized, "iw_bound", wrong)


def add_log_q(monkeypatch):
    """The bound adds log q, as if noise were paid for being predictable."""

    def wrong(self, x, context=None):
        x = self._as_float(x)
        u, log_q = self.dequantizer(x)
        return self.model.log_prob(x + u, context) + log_q

    monkeypatch.setattr(Dequantized, "elbo", wrong)


def flip_maf(monkeypatch):
    """MAF's forward returns minus its log-determinant."""
    negate(monkeypatch, flows.MAF, "forward")


def permute_twice(monkeypatch):
    """The inverse of a permutation applies it again."""

    def wrong(self, z, context=None):
        return z[:, self.order], z.new_zeros(len(z))

    monkeypatch.setattr(flows.Permutation, "inverse", wrong)


def average_pixels(monkeypatch):
    """The log-likelihood of a picture is averaged over its pixels."""
    right = Bernoulli.log_prob

    def wrong(self, x, logits):
        return right(self, x, logits) / x[0].numel()

    monkeypatch.setattr(Bernoulli, "log_prob", wrong)

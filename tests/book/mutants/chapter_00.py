"""Mutants of the primer."""

import torch
from support import bugs

from dgm_course import flows, training
from mutants import breaks, rewrite


@breaks(
    "Theorem 0.1: the density integrates to one",
    "Theorem 0.1: ladj is log|det| of the Jacobian",
    "Theorem 0.2: log-determinants add up",
    "Theorem 0.3: and its ladj",
)
def flip_coupling(monkeypatch):
    """RealNVP's forward returns minus its log-determinant."""
    bugs.negate(monkeypatch, flows.AffineCoupling, "forward")


forget_to_negate = breaks(
    "Theorem 0.2: the inverse has the opposite ladj",
    "Theorem 0.4: log p(g(z)) needs no forward pass",
    "Theorem 0.4: reverse KL: samples against the grid",
)(bugs.forget_to_negate)


@breaks("Theorem 0.1: P(x in A) is the integral over A")
def sample_the_noise(monkeypatch):
    """The model's samples are those of its base."""
    monkeypatch.setattr(
        flows.FlowModel, "sample", lambda self, n: self.base.sample(n)
    )


flip_scaling = breaks(
    "Theorem 0.1: z = x / 2 integrates to one",
    "Theorem 0.1: with the wrong sign, to 16",
    "Theorem 0.4: E[-log p] of the covering fit",
)(bugs.flip_scaling)


@breaks("Theorem 0.2: the library adds them")
def keep_the_last(monkeypatch):
    """A composition returns the log-determinant of its last part."""

    def wrong(self, x, context=None):
        for flow in self.flows:
            x, ladj = flow(x, context)
        return x, ladj

    monkeypatch.setattr(flows.Compose, "forward", wrong)


@breaks("Theorem 0.3: inverse(forward(x)) = x")
def add_again(monkeypatch):
    """The inverse of NICE adds F once more."""
    monkeypatch.setattr(
        flows.AdditiveCoupling, "inverse", flows.AdditiveCoupling.forward
    )


@breaks("Theorem 0.3: J: ones, and zeros above them")
def see_the_other_half(monkeypatch):
    """NICE's network also changes the half that is kept."""
    forward = flows.AdditiveCoupling.forward

    def wrong(self, x, context=None):
        z, ladj = forward(self, x, context)
        return z + 0.1 * z.sum(1, keepdim=True), ladj

    monkeypatch.setattr(flows.AdditiveCoupling, "forward", wrong)


@breaks("Theorem 0.3: F is at work below")
def do_nothing(monkeypatch):
    """NICE returns what it was given, which is a bijection, too."""
    monkeypatch.setattr(
        flows.AdditiveCoupling,
        "forward",
        lambda self, x, context=None: (x, x.new_zeros(len(x))),
    )


@breaks("Theorem 0.3: so log|det J| = 0")
def count_the_columns(monkeypatch):
    """NICE returns a log-determinant of one nat."""
    forward = flows.AdditiveCoupling.forward

    def wrong(self, x, context=None):
        return forward(self, x, context)[0], x.new_ones(len(x))

    monkeypatch.setattr(flows.AdditiveCoupling, "forward", wrong)


swap_scale_and_shift = rewrite(
    "raw, t = net(kept).chunk(2, dim=1)\n    s =",
    "t, raw = net(kept).chunk(2, dim=1)\n    s =",
    "Theorem 0.3: ten lines: the library's z",
)


@breaks("Theorem 0.4: entropy of the banana, by sampling")
def straighten_the_banana(monkeypatch):
    """Samples of the banana that are not bent."""
    from dgm_course import data

    banana = data.banana

    def wrong():
        sample = lambda n: torch.randn(n, 2) * torch.tensor([1.0, 2.0])  # noqa: E731
        return banana()._replace(sample=sample)

    monkeypatch.setattr(data, "banana", wrong)


negate_the_reverse_kl = rewrite(
    "return log_p - log_pi(x)",
    "return log_pi(x) - log_p",
    "Theorem 0.4: reverse KL: samples against the grid",
    "Theorem 0.4: and it is not negative",
    "Theorem 0.4: fit lowers the reverse KL by a tenth",
)


@breaks("Theorem 0.4: fit lowers the forward KL by a tenth")
def maximize(monkeypatch):
    """Training climbs the loss."""
    forward = training._Step.forward
    monkeypatch.setattr(
        training._Step, "forward", lambda *args: -forward(*args)
    )


swap_the_divergences = rewrite(
    "return log_p.exp() * (log_p - q(x))",
    "return q(x).exp() * (q(x) - log_p)",
    "Theorem 0.4: forward KL prefers to cover",
    "Theorem 0.4: one mode costs log 2 at most",
    "Theorem 0.4: reverse KL prefers one mode",
)
best_moments_off = rewrite(
    "variance = center**2 + 0.5**2",
    "variance = center**2",
    "Theorem 0.4: other moments do worse",
)


swap_kl = breaks("Theorem 0.5: log p(x) = ELBO + KL")(bugs.swap_kl)


add_the_kl = breaks(
    "Theorem 0.5: log p(x) = ELBO + KL",
    "Theorem 0.5: the ELBO is a lower bound",
    "Theorem 0.5: tight at the true posterior",
)(bugs.add_the_kl)

"""Mutants of the chapter on flows inside the VAE."""

from dataclasses import replace

import torch
from support import bugs

from dgm_course import flows, vae
from dgm_course.flows import planar, sylvester
from dgm_course.nn import MADE
from dgm_course.vae import posteriors
from mutants import breaks, rewrite


@breaks(
    "Theorem 10.1: IAF: the mean weight is p(x)",
    "Proposition 10.4: log q = log q0 - log|det|",
)
def wrong_z(monkeypatch):
    """log q0 at the z that the flow returns."""

    def wrong(self, h):
        gaussian, context = h.split([self.base.inputs, self.context], dim=1)
        z0, _ = self.base.rsample_and_log_prob(gaussian)
        z, ladj = self.flow.inverse(z0, context if self.context else None)
        parts = self.base.mean_and_log_std(gaussian)
        return z, vae.log_normal(z, *parts) - ladj

    monkeypatch.setattr(vae.FlowPosterior, "rsample_and_log_prob", wrong)


@breaks(
    "Proposition 10.4: log q = log q0 - log|det|",
    "Theorem 10.5: log q - log prior, digit by digit",
)
def the_slides_sign(monkeypatch):
    """log q adds the log-determinant."""

    def wrong(self, h):
        gaussian, context = h.split([self.base.inputs, self.context], dim=1)
        z0, log_q = self.base.rsample_and_log_prob(gaussian)
        z, ladj = self.flow.inverse(z0, context if self.context else None)
        return z, log_q + ladj

    monkeypatch.setattr(vae.FlowPosterior, "rsample_and_log_prob", wrong)


@breaks("Theorem 10.1: right sign: the integral is 1")
def flip_scaling(monkeypatch):
    """The inverse of a scaling returns the ladj of the other direction."""
    bugs.negate(monkeypatch, flows.ElementwiseAffine, "inverse")


@breaks("Theorem 10.1: a coupling's q integrates to 1")
def forget_the_coupling(monkeypatch):
    """The way back of a coupling has no log-determinant."""
    forward = flows.AffineCoupling.forward

    def wrong(self, x, context=None):
        z, ladj = forward(self, x, context)
        return z, 0 * ladj

    monkeypatch.setattr(flows.AffineCoupling, "forward", wrong)


def pushes(constraint, factor):
    """A planar map with another u, or another determinant."""

    def wrong(self, z, context=None):
        u, w, b = self.amortized(len(z), context)
        along = (w * u).sum(1, keepdim=True)
        slope = constraint(self, along)
        u = u + (slope - 1 - along) * w / w.square().sum(1, keepdim=True)
        t = torch.tanh((w * z).sum(1, keepdim=True) + b)
        det = 1 + (slope - 1) * factor(t)
        return z + u * t, det.abs().log().squeeze(1)

    return wrong


@breaks(
    "Theorem 10.2: and still no determinant is below 0",
    "Theorem 10.2: w.u = -3 constrained: order is kept",
)
def planar_without_constraint(monkeypatch):
    """u is used as it is."""
    wrong = pushes(lambda self, a: 1 + a, lambda t: 1 - t.square())
    monkeypatch.setattr(planar.Planar, "inverse", wrong)


@breaks("Theorem 10.2: log-determinant: that of autograd")
def planar_without_slope(monkeypatch):
    """The determinant is 1 + w.u everywhere."""
    softplus = torch.nn.functional.softplus
    wrong = pushes(
        lambda self, a: softplus(a + self.shift), lambda t: 1 + 0 * t
    )
    monkeypatch.setattr(planar.Planar, "inverse", wrong)


never_fold = rewrite(
    "three.new_tensor(-3.0) * torch.tanh",
    "three.new_tensor(-0.5) * torch.tanh",
    "Theorem 10.2: w.u = -3 as it is: three z, one x",
)


@breaks(
    "Theorem 10.3: our lines: x",
    "Theorem 10.3: M = 1 is planar: x",
)
def half_a_mirror(monkeypatch):
    """A projection in the place of a reflection."""

    def wrong(x, v):
        weight = (v * x).sum(1, keepdim=True) / v.square().sum(1, keepdim=True)
        return x - weight * v

    monkeypatch.setattr(sylvester, "_reflect", wrong)


@breaks("Theorem 10.3: log-determinant: that of autograd")
def full_matrices(monkeypatch):
    """R and S keep what is below their diagonals."""

    def wrong(self, flat):
        square = flat.unflatten(1, (self.terms, self.terms))
        return square, square.diagonal(0, 1, 2)

    monkeypatch.setattr(sylvester.Sylvester, "_triangle", wrong)


other_product = rewrite(
    "torch.eye(2) + B @ A", "torch.eye(2) + B @ B.T",
    "Theorem 10.3: det(I + AB) = det(I + BA)",
)  # fmt: skip

long_mirrors = rewrite(
    "/ mirror.square().sum()", "/ mirror.norm()",
    "Theorem 10.3: Q has orthonormal columns",
)  # fmt: skip


@breaks(
    "Proposition 10.4: turned: not triangular",
    "Proposition 10.4: turned: not affine",
)
def never_turn(monkeypatch):
    """The order of the dimensions never changes."""
    right = flows.maf
    monkeypatch.setattr(
        posteriors, "maf", lambda *given: right(*given[:-1], "same")
    )


@breaks(
    "Proposition 10.4: same order: triangular",
    "Proposition 10.4: same order: affine in z0_i",
)
def always_turn(monkeypatch):
    """The order changes when it should not."""
    right = flows.maf
    monkeypatch.setattr(
        posteriors, "maf", lambda *given: right(*given[:-1], "reverse")
    )


@breaks(
    "Proposition 10.4: another context, another z",
)
def ignore_context_in_each_step(monkeypatch):
    """The networks of the steps see zeros in the place of the context."""
    right = MADE.forward

    def wrong(self, x, context=None):
        return right(self, x, None if context is None else 0 * context)

    monkeypatch.setattr(MADE, "forward", wrong)


@breaks(
    "Theorem 10.1: IAF: our lines, the ELBO",
    "Proposition 10.4: z = g(z0, c)",
)
def drop_context(monkeypatch):
    """The posterior hands zeros to its flow."""
    right = vae.FlowPosterior.rsample_and_log_prob

    def wrong(self, h):
        kept, context = h.split([self.base.inputs, self.context], dim=1)
        return right(self, torch.cat([kept, 0 * context], 1))

    monkeypatch.setattr(vae.FlowPosterior, "rsample_and_log_prob", wrong)


@breaks(
    "Proposition 10.4: three steps are three passes",
    "Proposition 10.6: IAF posterior: K passes per ELBO",
)
def run_twice(monkeypatch):
    """One pass for z, another for its density."""
    right = vae.FlowPosterior.rsample_and_log_prob

    def wrong(self, h):
        right(self, h)
        return right(self, h)

    monkeypatch.setattr(vae.FlowPosterior, "rsample_and_log_prob", wrong)


decode_the_noise = rewrite(
    "return prior_vae.decoder(maf.inverse(eps)[0])",
    "return prior_vae.decoder(eps)",
    "Theorem 10.5: reconstruction, digit by digit",
    "Theorem 10.5: the bound of five samples",
)


@breaks(
    "Theorem 10.5: log q - log prior, digit by digit",
    "Theorem 10.5: log p_f(z) = log p(f(z)) + log|det|",
)
def prior_without_volume(monkeypatch):
    """The flow prior forgets its log-determinant."""

    def wrong(self, x, context=None):
        return self.base.log_prob(self.flow(x, context)[0])

    monkeypatch.setattr(flows.FlowModel, "log_prob", wrong)


@breaks("Proposition 10.6: AF prior: K d for a sample")
def half_a_loop(monkeypatch):
    """The textbook loop is not taken."""
    monkeypatch.setattr(
        flows.MAF,
        "inverse_textbook",
        lambda self, z, context=None: self.inverse(z, context),
    )


@breaks("Proposition 10.7: (c) the identity: the Gaussian")
def start_elsewhere(monkeypatch):
    """A planar map starts with a u that is not 0."""
    right = planar.Planar.__init__

    def wrong(self, dim, context=0):
        right(self, dim, context)
        with torch.no_grad():
            self.amortized.bias[:dim] = 0.5

    monkeypatch.setattr(planar.Planar, "__init__", wrong)


@breaks("Proposition 10.8: mean weights of all pictures: 1")
def layers_without_volume(monkeypatch):
    """An IAF step of a deep VAE forgets its log-determinant."""
    right = vae.IAFStep.forward

    def wrong(self, z, context):
        z, s = right(self, z, context)
        return z, torch.zeros_like(s)

    monkeypatch.setattr(vae.IAFStep, "forward", wrong)


@breaks("Proposition 10.8: what is reported is the ELBO")
def free_bits_reported(monkeypatch):
    """A model in evaluation mode gets the objective of training."""
    right = vae.Objective.__call__
    monkeypatch.setattr(
        vae.Objective,
        "__call__",
        lambda self, model, x, step: right(self, model.train(), x, step),
    )


@breaks("Proposition 10.8: the objective is another number")
def nothing_is_free(monkeypatch):
    """The free bits are left out."""
    right = vae.Objective.__call__
    monkeypatch.setattr(
        vae.Objective,
        "__call__",
        lambda self, *rest: right(replace(self, free_bits=0.0), *rest),
    )

"""Mutants of the chapter on ELBO surgery."""

import inspect
import math

import torch
from support import bugs

from dgm_course import vae
from dgm_course.likelihoods import Bernoulli
from dgm_course.vae import gaussians, posteriors, surgery
from mutants import breaks

TEN_LINES = "Proposition 8.1: ten lines: ELBO and its gradient"
SURGERY = "Theorem 8.7: Gaussian codes: KL - I - marginal KL = 0"
WEIGHT = "Proposition 8.5: the mean weight is p(x)"


def rewritten(function, old, new):
    """Return a function of a module with a part of its source replaced."""
    source = inspect.getsource(function)
    assert old in source, f"{function.__name__} no longer says {old!r}"
    namespace = dict(vars(inspect.getmodule(function)))
    exec(source.replace(old, new), namespace)
    return namespace[function.__name__]


@breaks(TEN_LINES, "Theorem 8.4: Gaussian codes: gap = posterior KL")
def add_the_kl(monkeypatch):
    """ELBO = reconstruction + KL."""
    wrong = property(lambda parts: parts.reconstruction + parts.kl)
    monkeypatch.setattr(vae.Parts, "elbo", wrong)


@breaks(TEN_LINES, "Proposition 8.1: gradient in the log-scale")
def variance_for_scale(monkeypatch):
    """A code is mean + variance * noise."""

    def wrong(self, h):
        mean, log_std = self.mean_and_log_std(h)
        z = mean + (2 * log_std).exp() * torch.randn_like(mean)
        return z, vae.log_normal(z, mean, log_std)

    monkeypatch.setattr(vae.DiagonalGaussian, "rsample_and_log_prob", wrong)


@breaks(
    TEN_LINES,
    "Proposition 8.1: gradient in the mean",
    "Proposition 8.1: gradient in the log-scale",
)
def code_is_the_mean(monkeypatch):
    """A code is the mean, without noise."""

    def wrong(self, h):
        mean, log_std = self.mean_and_log_std(h)
        return mean, vae.log_normal(mean, mean, log_std)

    monkeypatch.setattr(vae.DiagonalGaussian, "rsample_and_log_prob", wrong)


@breaks(TEN_LINES)
def detach_the_scale(monkeypatch):
    """No gradient reaches the scale through the code."""
    right = vae.DiagonalGaussian.mean_and_log_std

    def wrong(self, h):
        mean, log_std = right(self, h)
        return mean, log_std.detach()

    monkeypatch.setattr(vae.DiagonalGaussian, "mean_and_log_std", wrong)


@breaks(
    TEN_LINES,
    "Proposition 8.2: closed form = integral, d = 1",
    "Proposition 8.2: closed form = mean, d = 3",
)
def scale_for_variance(monkeypatch):
    """The closed form of the KL has the scale where the variance belongs."""

    def wrong(mean, log_std):
        return 0.5 * (mean.square() + log_std.exp() - 1) - log_std

    monkeypatch.setattr(posteriors, "kl_to_standard_normal", wrong)


@breaks("Proposition 8.2: closed form = integral, d = 1")
def forget_minus_one(monkeypatch):
    """The closed form of the KL lacks its -1/2."""
    right = gaussians.kl_to_standard_normal
    monkeypatch.setattr(
        posteriors, "kl_to_standard_normal", lambda m, s: right(m, s) + 0.5
    )


@breaks(TEN_LINES, "Proposition 8.2: closed form = mean, d = 3", SURGERY)
def average_kl(monkeypatch):
    """The KL of a digit is averaged over its latent dimensions."""
    monkeypatch.setattr(
        vae.Parts, "kl", property(lambda parts: parts.kl_groups.mean(1))
    )


average_pixels = breaks(
    TEN_LINES, "Theorem 8.4: Gaussian codes: gap = posterior KL", WEIGHT
)(bugs.average_pixels)


@breaks("Proposition 8.3: grey 3 is 1 so often")
def threshold(monkeypatch):
    """A pixel is 1 where it is above half grey."""
    monkeypatch.setattr(
        vae, "binarize", lambda pixels, seed=None: (pixels > 127).byte()
    )


@breaks("Proposition 8.3: grey 60 is 1 so often")
def white_too_early(monkeypatch):
    """Grey values from 230 on are 1 for sure."""
    monkeypatch.setattr(
        vae, "binarize", rewritten(vae.binarize, "random_(255)", "random_(230)")
    )


swap_kl = breaks(
    "Theorem 8.4: log p(x) - KL(q(z|x) || p(z|x))",
    "Theorem 8.7: the library's terms are these",
    "Proposition 8.10: E I_B = I - E KL(q_B || q)",
)(bugs.swap_kl)


@breaks("Theorem 8.4: all 16 pictures: p(x) sums to 1")
def wrong_area(monkeypatch):
    """A cell of the grid is as wide as box / points."""
    wrong = rewritten(
        vae.grid_log_likelihood, "2 * box / (points - 1)", "2 * box / points"
    )
    monkeypatch.setattr(vae, "grid_log_likelihood", wrong)


@breaks("Theorem 8.4: all 16 pictures: p(x) sums to 1")
def pairs_without_normalizer(monkeypatch):
    """Log-probabilities of all pairs lack log(1 + e^l)."""

    def wrong(self, x, logits):
        return x.flatten(1).to(logits.dtype) @ logits.flatten(1).T

    monkeypatch.setattr(Bernoulli, "log_prob_pairs", wrong)


@breaks(WEIGHT, "Proposition 8.5: nor above log p(x)")
def forget_log_k(monkeypatch):
    """The bound is the logarithm of a sum, not of a mean."""
    right = vae.VAE.iw_bound

    def wrong(self, x, k, chunk=64):
        return right(self, x, k, chunk) + math.log(k)

    monkeypatch.setattr(vae.VAE, "iw_bound", wrong)


@breaks(WEIGHT)
def mean_of_logs(monkeypatch):
    """The bound is the mean of the logarithms: the ELBO."""

    def wrong(self, x, k, chunk=64):
        return torch.stack([self.elbo(x) for _ in range(k)]).mean(0)

    monkeypatch.setattr(vae.VAE, "iw_bound", wrong)


@breaks("Proposition 8.5: k = 1 is the ELBO", WEIGHT)
def weights_without_the_prior(monkeypatch):
    """Importance weights are p(x|z) / q(z|x)."""
    right = vae.VAE._log_weights

    def wrong(self, x, h):
        torch.manual_seed(5)
        weights = right(self, x, h)
        torch.manual_seed(5)
        z, _ = self.posterior.rsample_and_log_prob(h)
        return weights - self.prior.log_prob(z)

    monkeypatch.setattr(vae.VAE, "_log_weights", wrong)


@breaks("Proposition 8.5: weights of given Gaussians")
def given_weights_without_the_prior(monkeypatch):
    """The same, for Gaussians that are given."""
    wrong = rewritten(
        vae.log_weights, "log_p = log_p + model.prior.log_prob(z)", "pass"
    )
    monkeypatch.setattr(vae, "log_weights", wrong)


@breaks("Proposition 8.6: no Gaussian nearby is closer")
def tune_without_entropy(monkeypatch):
    """Tuning maximizes E log p(x, z) alone: the Gaussian shrinks."""
    wrong = rewritten(vae.tune, "log_p + log_std.sum(1)", "log_p")
    monkeypatch.setattr(vae, "tune", wrong)


@breaks("Proposition 8.6: no Gaussian nearby is closer")
def tune_without_the_prior(monkeypatch):
    """Tuning maximizes the likelihood of the code."""
    wrong = rewritten(vae.tune, "log_p + model.prior.log_prob(z)", "log_p")
    monkeypatch.setattr(vae, "tune", wrong)


@breaks("Proposition 8.6: no Gaussian nearby is closer")
def tune_downhill(monkeypatch):
    """Tuning minimizes the ELBO."""
    wrong = rewritten(vae.tune, "return -(", "return (")
    monkeypatch.setattr(vae, "tune", wrong)


@breaks(
    "Proposition 8.6: a good second start is taken",
    "Proposition 8.6: a bad one is not",
)
def keep_the_worse_start(monkeypatch):
    """Of two tuned Gaussians the one with the smaller bound is kept."""
    wrong = rewritten(vae.best_codes, "first >= second", "first < second")
    monkeypatch.setattr(vae, "best_codes", wrong)


@breaks("Proposition 8.6: a good second start is taken")
def start_at_the_worst_candidate(monkeypatch):
    """The second start is where log p(x, z) is smallest."""
    wrong = rewritten(vae.best_codes, "argmax(1)", "argmin(1)")
    monkeypatch.setattr(vae, "best_codes", wrong)


@breaks(SURGERY, "Proposition 8.8: Gaussian codes: the two forms agree")
def codes_are_means(monkeypatch):
    """Codes are the means of their posteriors."""
    monkeypatch.setattr(vae.Codes, "sample", lambda codes: codes.mean)


@breaks("Proposition 8.8: I = log n - E H[q(i|z)]")
def entropy_of_the_posterior(monkeypatch):
    """The doubt about the index is the entropy of the code."""
    wrong = property(lambda model: model.entropy.mean())
    monkeypatch.setattr(vae.DiscreteVAE, "index_entropy", wrong)


@breaks(
    "Corollary 8.9: fifty needles: q(z) = q(z|x_i) / n",
    "Proposition 8.8: Gaussian codes: the two forms agree",
    "Theorem 8.7: q(z) over all codes integrates to one",
    "Theorem 8.7: ten lines: log q(z)",
)
def forget_log_n(monkeypatch):
    """q(z) is the sum of the posteriors, not their mean."""
    right = surgery.aggregated

    def wrong(z, codes, memory=64):
        log_q, entropy = right(z, codes, memory)
        return log_q + math.log(len(codes.mean)), entropy

    monkeypatch.setattr(surgery, "aggregated", wrong)
    monkeypatch.setattr(vae, "aggregated", wrong)


@breaks(SURGERY)
def leave_one_out(monkeypatch):
    """q(z) at a code of digit i without the posterior of digit i."""
    right = surgery.aggregated

    def wrong(z, codes, memory=64):
        pairs = vae.Gaussians(*codes).log_prob(z)
        pairs.fill_diagonal_(-math.inf)
        log_q = pairs.logsumexp(1) - math.log(len(codes.mean) - 1)
        return log_q, right(z, codes, memory)[1]

    monkeypatch.setattr(surgery, "aggregated", wrong)


@breaks("Theorem 8.7: ten lines: H[q(i|z)]")
def doubt_is_negative(monkeypatch):
    """The entropy of q(i|z) has the wrong sign."""
    right = surgery.aggregated

    def wrong(z, codes, memory=64):
        log_q, entropy = right(z, codes, memory)
        return log_q, -entropy

    monkeypatch.setattr(vae, "aggregated", wrong)


@breaks("Corollary 8.9: three terms of the slide: the mean ELBO")
def mutual_information_squeezed(monkeypatch):
    """The marginal KL lacks the entropy of q(z)."""
    wrong = property(
        lambda model: -(model.aggregated * model.prior.log()).sum()
    )
    monkeypatch.setattr(vae.DiscreteVAE, "marginal_kl", wrong)


@breaks("Proposition 8.10: two posteriors: I by quadrature")
def estimate_at_the_means(monkeypatch):
    """Within a batch q(z) is evaluated at the means of the codes."""
    wrong = rewritten(vae.minibatch_information, "batch.sample()", "batch.mean")
    monkeypatch.setattr(vae, "minibatch_information", wrong)


@breaks("Proposition 8.10: stratified, equal")
def stratified_others(monkeypatch):
    """The weight of the other codes of a batch is 1/n as well."""
    wrong = rewritten(
        vae.minibatch_information, "(n - 1) / (n * (m - 1))", "1 / n"
    )
    monkeypatch.setattr(vae, "minibatch_information", wrong)


@breaks("Proposition 8.10: stratified, needles")
def stratified_own(monkeypatch):
    """The weight of a code's own posterior is 1/M."""
    wrong = rewritten(
        vae.minibatch_information,
        '"stratified": (1 / n',
        '"stratified": (1 / m',
    )
    monkeypatch.setattr(vae, "minibatch_information", wrong)

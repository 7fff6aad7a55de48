"""Mutants of the chapter on priors."""

import math

import torch
from support import bugs

from dgm_course import vae
from mutants import breaks

swap_kl = breaks(
    "Theorem 9.1: gain of q(z) = marginal KL",
    "Corollary 9.2: gain = KL(q || p) - KL(q || p')",
    "Proposition 9.3: gain = KL(q' || p) - KL(q' || q)",
)(bugs.swap_kl)


@breaks(
    "Theorem 9.1: Gaussian codes: KL = I",
    "Proposition 9.4: mixture: integrates to one",
    "Proposition 9.4: ten lines: log p(z)",
)
def forget_log_k(monkeypatch):
    """A mixture of K components integrates to K."""
    right = vae.GaussianMixture.log_prob

    def wrong(self, z):
        return right(self, z) + math.log(len(self.components()[0]))

    monkeypatch.setattr(vae.GaussianMixture, "log_prob", wrong)


@breaks(
    "Proposition 9.4: each of them gets a gradient",
    "Proposition 9.4: ten lines: gradient of the pictures",
)
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


average_pixels = breaks("Theorem 9.1: Gaussian codes: ELBO = E log p(x|z) - I")(
    bugs.average_pixels
)


@breaks("Theorem 9.1: Gaussian codes: ELBO = E log p(x|z) - I")
def add_the_kl(monkeypatch):
    """ELBO = reconstruction + KL."""
    wrong = property(lambda terms: terms.reconstruction + terms.kl)
    monkeypatch.setattr(vae.Surgery, "elbo", wrong)


def sampler(scale, which):
    """Samples of a mixture with another scale, or from other components."""

    def sample(self, n, temperature=1.0):
        mean, log_std = self.components()
        k = which(len(mean), n)
        noise = torch.randn_like(mean[k])
        return (mean[k] + scale(log_std[k]) * noise).detach()

    return sample


def anywhere(components, n):
    """Draw a component for each sample."""
    return torch.randint(components, (n,))


@breaks("Proposition 9.4: mixture: square of sample 0")
def variance_for_scale(monkeypatch):
    """Samples of a mixture have the variance where the scale belongs."""
    wrong = sampler(lambda log_std: (2 * log_std).exp(), anywhere)
    monkeypatch.setattr(vae.GaussianMixture, "sample", wrong)


@breaks("Proposition 9.4: mixture: square of sample 0")
def samples_are_means(monkeypatch):
    """Samples of a mixture are the means of its components."""
    wrong = sampler(torch.zeros_like, anywhere)
    monkeypatch.setattr(vae.GaussianMixture, "sample", wrong)


@breaks("Proposition 9.4: mixture: mean of sample 0")
def one_component(monkeypatch):
    """All samples of a mixture come from its first component."""
    wrong = sampler(torch.exp, lambda components, n: torch.zeros(n).long())
    monkeypatch.setattr(vae.GaussianMixture, "sample", wrong)


@breaks("Proposition 9.4: log p >= log p_k - log K")
def worst_component(monkeypatch):
    """The density of a mixture is that of its smallest term."""

    def wrong(self, z):
        pairs = vae.Gaussians(*self.components()).log_prob(z)
        return pairs.amin(1) - math.log(pairs.shape[1])

    monkeypatch.setattr(vae.GaussianMixture, "log_prob", wrong)

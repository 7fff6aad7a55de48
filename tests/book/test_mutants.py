"""Break the library on purpose: the chapters' check cells must notice."""

import math
from pathlib import Path

import nbformat
import pytest
import torch

from dgm_course import flows, nn, vae
from dgm_course.dequantization import Uniform
from dgm_course.training import NonFiniteLoss
from dgm_course.vae import discrete, surgery
from dgm_course.verify import CheckFailed

BOOK = Path(__file__).parents[2] / "book"


def flip_coupling(monkeypatch):
    """RealNVP's forward returns minus its log-determinant."""
    forward = flows.AffineCoupling.forward

    def wrong(self, x, context=None):
        z, ladj = forward(self, x, context)
        return z, -ladj

    monkeypatch.setattr(flows.AffineCoupling, "forward", wrong)


def forget_to_negate(monkeypatch):
    """The inverse returns the log-determinant of the forward map."""
    inverse = flows.AffineCoupling.inverse

    def wrong(self, z, context=None):
        x, ladj = inverse(self, z, context)
        return x, -ladj

    monkeypatch.setattr(flows.AffineCoupling, "inverse", wrong)


def drop_preprocessing(monkeypatch):
    """The logit returns no log-determinant."""
    forward = flows.Logit.forward

    def wrong(self, x, context=None):
        z, ladj = forward(self, x, context)
        return z, torch.zeros_like(ladj)

    monkeypatch.setattr(flows.Logit, "forward", wrong)


def forget_log_256(monkeypatch):
    """The logit forgets the width of the range."""
    slope = flows.Logit._log_slope

    def wrong(self):
        return slope(self) + torch.tensor(self.levels).log().item()

    monkeypatch.setattr(flows.Logit, "_log_slope", wrong)


def wide_noise(monkeypatch):
    """Noise from [0, 2) instead of [0, 1)."""

    def wrong(self, x):
        return 2 * torch.rand_like(x), x.new_zeros(len(x))

    monkeypatch.setattr(Uniform, "forward", wrong)


def swap_kl(monkeypatch):
    """KL(p || q) in the place of KL(q || p)."""
    right = discrete._kl

    def wrong(q, p):
        return right(*torch.broadcast_tensors(p, q))

    monkeypatch.setattr(discrete, "_kl", wrong)


def average_kl(monkeypatch):
    """The KL of a digit is averaged over its latent dimensions."""
    monkeypatch.setattr(
        vae.Parts, "kl", property(lambda parts: parts.kl_groups.mean(1))
    )


def forget_log_n(monkeypatch):
    """q(z) is the sum of the posteriors, not their mean."""
    right = surgery.aggregated

    def wrong(z, codes, memory=64):
        log_q, entropy = right(z, codes, memory)
        return log_q + math.log(len(codes.mean)), entropy

    monkeypatch.setattr(surgery, "aggregated", wrong)
    monkeypatch.setattr(vae, "aggregated", wrong)


def leave_one_out(monkeypatch):
    """q(z) at a code of digit i without the posterior of digit i."""
    right = surgery.aggregated

    def wrong(z, codes, memory=64):
        pairs = vae.Gaussians(*codes).log_prob(z)
        pairs.fill_diagonal_(-math.inf)
        log_q = pairs.logsumexp(1) - math.log(len(codes.mean) - 1)
        return log_q, right(z, codes, memory)[1]

    monkeypatch.setattr(surgery, "aggregated", wrong)


def forget_log_k(monkeypatch):
    """A mixture of K components integrates to K."""
    right = vae.GaussianMixture.log_prob

    def wrong(self, z):
        return right(self, z) + math.log(len(self.components()[0]))

    monkeypatch.setattr(vae.GaussianMixture, "log_prob", wrong)


def detach_pseudo_inputs(monkeypatch):
    """No gradient reaches the pseudo-inputs."""

    def wrong(self):
        return torch.sigmoid(self.logits.detach()) + 0 * self.logits

    monkeypatch.setattr(vae.VampPrior, "pseudo_inputs", property(wrong))


def unbounded_pseudo_inputs(monkeypatch):
    """Pseudo-inputs without the sigmoid leave the range of pixels."""
    monkeypatch.setattr(
        vae.VampPrior, "pseudo_inputs", property(lambda self: self.logits)
    )


def see_yourself(monkeypatch):
    """The output mask of MADE says >= where it should say >."""
    init = nn.MADE.__init__

    def wrong(self, *args, **options):
        init(self, *args, **options)
        own = torch.arange(1, self.dim + 1).repeat_interleave(self.outputs)
        degrees = torch.tensor(self.degrees[-1])
        self.layers[-1].mask.copy_(own[:, None] >= degrees)

    monkeypatch.setattr(nn.MADE, "__init__", wrong)


def flip_maf(monkeypatch):
    """MAF's forward returns minus its log-determinant."""
    forward = flows.MAF.forward

    def wrong(self, x, context=None):
        z, ladj = forward(self, x, context)
        return z, -ladj

    monkeypatch.setattr(flows.MAF, "forward", wrong)


def permute_twice(monkeypatch):
    """The inverse of a permutation applies it again."""

    def wrong(self, z, context=None):
        return z[:, self.order], z.new_zeros(len(z))

    monkeypatch.setattr(flows.Permutation, "inverse", wrong)


def stop_early(monkeypatch):
    """The blocked inverse takes hidden units one variable too late."""
    known = nn.MADE.known
    monkeypatch.setattr(
        nn.MADE, "known", lambda self, d: known(self, max(0, d - 1))
    )


def swap_divergence(monkeypatch):
    """KL(q || p) in the place of KL(p || q), for torch's distributions."""
    right = torch.distributions.kl_divergence
    monkeypatch.setattr(
        torch.distributions, "kl_divergence", lambda p, q: right(q, p)
    )


def add_the_ladj(monkeypatch):
    """The density of own samples adds the log-determinant."""

    def wrong(self, n, context=None):
        z = self.base.sample(n)
        x, ladj = self.flow.inverse(z, context)
        return x, self.base.log_prob(z) + ladj

    monkeypatch.setattr(flows.FlowModel, "rsample_and_log_prob", wrong)


def run_until_a_check_fails(name):
    """Execute the cells of a chapter here, up to a failing check cell."""
    notebook = nbformat.read(BOOK / name, as_version=4)
    code = [c for c in notebook.cells if c.cell_type == "code"][1:]
    checks = [
        i
        for i, c in enumerate(code)
        if "keep_output" in c.metadata.get("tags", [])
    ]
    namespace = {}
    for i, cell in enumerate(code[: checks[-1] + 1]):
        try:
            exec(cell.source, namespace)
        except (NameError, NonFiniteLoss):
            # training noticed too, and what it made is missing in the cells
            # that follow; but what do the checks say?
            assert i not in checks


@pytest.mark.parametrize(
    ("chapter", "mutant"),
    [
        ("00_primer.ipynb", flip_coupling),
        ("00_primer.ipynb", forget_to_negate),
        ("01_uniform_dequantization.ipynb", drop_preprocessing),
        ("01_uniform_dequantization.ipynb", forget_log_256),
        ("01_uniform_dequantization.ipynb", wide_noise),
        ("04_autoregressive_flows.ipynb", see_yourself),
        ("04_autoregressive_flows.ipynb", flip_maf),
        ("04_autoregressive_flows.ipynb", permute_twice),
        ("04_autoregressive_flows.ipynb", stop_early),
        ("05_inverse_autoregressive_flow.ipynb", flip_maf),
        ("05_inverse_autoregressive_flow.ipynb", permute_twice),
        ("05_inverse_autoregressive_flow.ipynb", swap_divergence),
        ("05_inverse_autoregressive_flow.ipynb", add_the_ladj),
        ("05_inverse_autoregressive_flow.ipynb", forget_to_negate),
        ("08_elbo_surgery.ipynb", swap_kl),
        ("08_elbo_surgery.ipynb", average_kl),
        ("08_elbo_surgery.ipynb", forget_log_n),
        ("08_elbo_surgery.ipynb", leave_one_out),
        ("09_priors.ipynb", swap_kl),
        ("09_priors.ipynb", forget_log_k),
        ("09_priors.ipynb", detach_pseudo_inputs),
        ("09_priors.ipynb", unbounded_pseudo_inputs),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_mutant_is_caught(chapter, mutant, monkeypatch, capsys):
    monkeypatch.setenv("DGM_STATIC", "1")
    mutant(monkeypatch)
    with pytest.raises(CheckFailed):
        run_until_a_check_fails(chapter)

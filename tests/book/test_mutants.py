"""Break the library on purpose: the chapters' check cells must notice."""

import math
from pathlib import Path

import nbformat
import pytest
import torch

from dgm_course import flows, vae
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
        except NonFiniteLoss:  # training noticed too; what do checks say?
            assert i not in checks


@pytest.mark.parametrize(
    ("chapter", "mutant"),
    [
        ("00_primer.ipynb", flip_coupling),
        ("00_primer.ipynb", forget_to_negate),
        ("01_uniform_dequantization.ipynb", drop_preprocessing),
        ("01_uniform_dequantization.ipynb", forget_log_256),
        ("01_uniform_dequantization.ipynb", wide_noise),
        ("08_elbo_surgery.ipynb", swap_kl),
        ("08_elbo_surgery.ipynb", average_kl),
        ("08_elbo_surgery.ipynb", forget_log_n),
        ("08_elbo_surgery.ipynb", leave_one_out),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_mutant_is_caught(chapter, mutant, monkeypatch, capsys):
    monkeypatch.setenv("DGM_STATIC", "1")
    mutant(monkeypatch)
    with pytest.raises(CheckFailed):
        run_until_a_check_fails(chapter)

"""Break the library on purpose: the chapters' check cells must notice."""

from pathlib import Path

import nbformat
import pytest
import torch

from dgm_course import flows
from dgm_course.dequantization import Uniform
from dgm_course.training import NonFiniteLoss
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
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_mutant_is_caught(chapter, mutant, monkeypatch, capsys):
    monkeypatch.setenv("DGM_STATIC", "1")
    mutant(monkeypatch)
    with pytest.raises(CheckFailed):
        run_until_a_check_fails(chapter)

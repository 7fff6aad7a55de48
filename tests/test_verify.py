"""Checks pass where the claim is true, and fail where it is not."""

import json

import pytest
import torch

from dgm_course import verify
from dgm_course.verify import CheckFailed


def test_equal_tells_rounding_from_error(capsys):
    x = torch.rand(100, dtype=torch.float64)
    verify.equal("T", "same", (x + 1) - 1, x)
    assert capsys.readouterr().out == (
        "T               | same                                   "
        "| 64 roundings    | pass\n"
    )
    with pytest.raises(CheckFailed, match="T: off: measured"):
        verify.equal("T", "off", x + 1e-12, x)
    with pytest.raises(CheckFailed):
        verify.equal("T", "nan", x * float("nan"), x)


def test_equal_uses_the_less_precise_side():
    x = torch.rand(10)
    verify.equal("T", "float32", x.double().sqrt(), x.sqrt(), roundings=4)
    with pytest.raises(CheckFailed):
        verify.equal("T", "float32", x + 1e-4, x)


def test_expectation_knows_its_error():
    samples = torch.randn(10_000) + 2
    verify.expectation("T", "mean", samples, 2.0)
    with pytest.raises(CheckFailed):
        verify.expectation("T", "mean", samples, 2.1)
    verify.mean_at_most("T", "below", samples, 2.0)
    with pytest.raises(CheckFailed):
        verify.mean_at_most("T", "below", samples, 1.9)
    with pytest.raises(ValueError, match="at least 2"):
        verify.mean_and_se(torch.zeros(1))


def test_bounds_and_refutations():
    verify.at_most("T", "order", 1.0, 1.0 + 1e-9)
    with pytest.raises(CheckFailed):
        verify.at_most("T", "order", 1.0, 1.0 - 1e-9)
    verify.differ("T", "apart", 1.0, 2.0, by=0.5)
    with pytest.raises(CheckFailed):
        verify.differ("T", "apart", torch.tensor([1.0, 2.0]), 2.0, by=0.5)
    with pytest.raises(verify.CheckFailed):  # equality is no difference
        verify.differ("T", "apart", 1.0, 1.0, by=0.0)
    with pytest.raises(verify.CheckFailed):
        verify.differ("T", "apart", 1.0, 1.5, by=0.5)


def gaussian(x):
    return (-0.5 * x.square().sum(1)).exp() / (2 * torch.pi)


def test_integral():
    box = [(-8.0, 8.0)] * 2
    verify.integral("T", "one", gaussian, box, points=200)
    with pytest.raises(CheckFailed, match="measured"):
        verify.integral("T", "wrong", lambda x: 1.01 * gaussian(x), box)
    with pytest.raises(CheckFailed, match="use more points"):
        verify.integral("T", "coarse", gaussian, box, points=8)


def test_gauss_legendre_is_exact_for_polynomials():
    nodes, weights = verify.gauss_legendre(5)
    for power in range(10):
        exact = 1 / (power + 1)
        assert abs((weights * nodes**power).sum() - exact) < 1e-15 * 64


def test_rows_are_collected_from_check_cells_only(tmp_path):
    cells = [
        {
            "cell_type": "code",
            "metadata": {"tags": tags},
            "source": "",
            "outputs": [
                {"output_type": "stream", "text": ["a | b | c | pass"]}
            ],
        }
        for tags in ([], ["nbval-check-output"])
    ]
    path = tmp_path / "x.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    rows = verify.collect_rows(path)
    assert rows == [verify.Row("a", "b", "c", "pass")]


def test_measured_errors_are_kept(capsys):
    verify.equal("Unique theorem", "claim", 1.0, 1.0)
    verify.show_measured()
    assert "Unique theorem  claim" in capsys.readouterr().out

"""Checks pass where the claim is true, and fail where it is not."""

import json
import math

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


INFINITE = [math.inf, -math.inf, math.nan]


@pytest.mark.parametrize("bad", INFINITE)
def test_numbers_that_are_not_finite_fail_every_check(bad):
    """On either side, alone or among good ones."""
    good = torch.ones(3, dtype=torch.float64)
    mixed = good.clone()
    mixed[1] = bad
    for x in (torch.tensor(bad), mixed):
        for check in (verify.equal, verify.differ, verify.at_most):
            for pair in ((x, good), (2 * good, x), (x, x)):
                with pytest.raises(CheckFailed):
                    check("T", "bad", *pair)
        for check in (verify.expectation, verify.mean_at_most):
            with pytest.raises(CheckFailed):
                check("T", "bad", x.expand(3), 1.0)
    for check in (verify.expectation, verify.mean_at_most):
        with pytest.raises(CheckFailed):
            check("T", "bad", torch.randn(10), bad)
    with pytest.raises(CheckFailed):
        verify.equal("T", "bad size", 1.0, 1.0, size=abs(bad))
    with pytest.raises(CheckFailed):
        verify.integral("T", "bad", lambda x: x[:, 0] * bad, [(0.0, 1.0)])


def test_a_large_entry_excuses_no_other():
    left = torch.tensor([1e16, 1.0], dtype=torch.float64)
    right = torch.tensor([1e16, 2.0], dtype=torch.float64)
    verify.equal("T", "each for itself", left, left + torch.tensor([2.0, 0.0]))
    for check in (
        verify.equal,
        lambda *a: verify.at_most(a[0], a[1], a[3], a[2]),
    ):
        with pytest.raises(CheckFailed, match="measured 1, allowed"):
            check("T", "the second entry", left, right)


def test_tolerance_is_roundings_times_eps_times_size():
    """Just inside passes, just outside fails, for a size above 1."""
    for dtype in (torch.float32, torch.float64):
        eps = torch.finfo(dtype).eps
        x = torch.tensor(2.0**20, dtype=dtype)
        for roundings in (8, 64):
            inside, outside = (
                x * (1 + k * eps) for k in (roundings, 2 * roundings)
            )
            verify.equal("T", "", inside, x, roundings)
            verify.at_most("T", "", inside, x, roundings)
            for check in (verify.equal, verify.at_most):
                with pytest.raises(CheckFailed):
                    check("T", "", outside, x, roundings)
                check("T", "", outside, x, roundings, size=2.0**22)
    with pytest.raises(CheckFailed):  # below 1 the size is 1 unless it is said
        verify.equal("T", "", 1e-20, 2e-20, size=1e-20)
    verify.equal("T", "", 1e-20, 2e-20)


def test_the_less_precise_side_decides():
    exact = torch.ones(1, dtype=torch.float64)
    rounded = torch.ones(1)
    for a, b in ((exact + 1e-6, rounded), (rounded + 1e-6, exact)):
        verify.equal("T", "", a, b)
        verify.at_most("T", "", a, b)
        with pytest.raises(CheckFailed):
            verify.differ("T", "", a, b)
    with pytest.raises(CheckFailed):
        verify.at_most("T", "", exact + 1e-6, exact)
    verify.equal("T", "integers", torch.arange(3), torch.arange(3))


def test_differ_without_a_gap_means_what_equal_does_not_excuse():
    eps = torch.finfo(torch.float64).eps
    x = torch.tensor([1.0, 1000.0], dtype=torch.float64)
    verify.differ("T", "", x, x * (1 + 128 * eps))
    with pytest.raises(CheckFailed):
        verify.differ("T", "", x, x * (1 + 32 * eps))
    with pytest.raises(CheckFailed):  # all pairs must differ
        verify.differ("T", "", x, torch.tensor([1.0, 999.0]).double())


def test_nothing_to_compare_is_an_error():
    empty = torch.zeros(0)
    with pytest.raises(ValueError, match="nothing to compare"):
        verify.equal("T", "empty", empty, empty)


def test_sensitivity_is_the_amplification_of_input_errors():
    matrix = torch.tensor([[3.0, -4.0], [0.5, 0.0]], dtype=torch.float64)
    x = torch.tensor([[1.0, 2.0], [-5.0, 0.0]], dtype=torch.float64)
    expected = x.abs() @ matrix.abs().T
    verify.equal(
        "T", "", verify.sensitivity(lambda r: r @ matrix.T, x), expected
    )
    found = verify.sensitivity(lambda r: (r @ matrix.T).sum(1), x)
    verify.equal("T", "", found, x.abs() @ torch.tensor([3.5, 4.0]).double())


def test_a_round_trip_is_judged_by_its_sensitivity():
    """x + 1e6 - 1e6 keeps ten digits: an error that the size explains."""
    x = torch.rand(100, 1, dtype=torch.float64)
    back = (x + 1e6) - 1e6
    with pytest.raises(CheckFailed):
        verify.equal("T", "", back, x)
    there = x + 1e6
    size = verify.sensitivity(lambda y: y - 1e6, there)
    verify.equal("T", "", back, x, roundings=1, size=size)


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
    # sqrt(sum of squares / (n - 1) / n): both divisors count
    assert verify.mean_and_se(torch.tensor([0.0, 2.0])) == (1.0, 1.0)


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
    for points in (8, 12):  # uncertain by 0.3 and by 0.005
        with pytest.raises(CheckFailed, match="use more points"):
            verify.integral("T", "coarse", gaussian, box, points=points)


def test_integral_knows_what_a_box_leaves_out():
    """4e-9 of N(0, I) lie outside [-6, 6]^2, far more than the rounding."""
    box, outside = [(-6.0, 6.0)] * 2, 2 * math.erfc(6 / math.sqrt(2))
    with pytest.raises(CheckFailed):
        verify.integral("T", "box alone", gaussian, box)
    verify.integral("T", "with its tail", gaussian, box, outside=outside)
    with pytest.raises(CheckFailed, match="measured"):
        verify.integral(
            "T", "wrong", lambda x: 1.01 * gaussian(x), box, outside=outside
        )
    with pytest.raises(CheckFailed, match="another box"):
        verify.integral("T", "too much", gaussian, box, outside=1e-3)


def test_integral_over_the_whole_space():
    line, plane = [(-math.inf, math.inf)], [(-math.inf, math.inf)] * 2
    verify.integral("T", "normal", gaussian, plane)
    with pytest.raises(CheckFailed, match="measured"):
        verify.integral("T", "wrong", lambda x: 1.0001 * gaussian(x), plane)

    def cauchy(x):  # no box holds it
        return 1 / (math.pi * (1 + x[:, 0].square()))

    verify.integral("T", "Cauchy", cauchy, line, points=200)
    mixed = [(-math.inf, math.inf), (0.0, 8.0)]
    verify.integral("T", "half", gaussian, mixed, value=0.5)
    with pytest.raises(ValueError, match=r"finite or \(-inf, inf\)"):
        verify.grid_integral(cauchy, [(0.0, math.inf)])
    with pytest.raises(ValueError, match="even number"):
        verify.grid_integral(cauchy, line, points=7)


def test_the_uncertainty_of_a_grid_covers_its_error():
    """For a kink, which no midpoint rule does exactly."""

    def tent(x):
        return (1 - (x[:, 0] - 0.1).abs()).clamp(min=0.0)

    for points in (10, 50, 98):
        found, uncertain = verify.grid_integral(tent, [(-2.0, 2.0)], points)
        assert abs(found - 1) <= uncertain


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

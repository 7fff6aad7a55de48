import math

import pytest
import torch

from dgm_course import verify
from dgm_course.data import (
    banana,
    eight_gaussians,
    histogram,
    ring,
    two_moons,
)

TOYS = [eight_gaussians, two_moons, ring, banana]


def box_of(make):
    """A box with all the mass: the banana is long."""
    if make is banana:
        return [(-10.0, 60.0), (-16.0, 16.0)]
    return [(-8.0, 8.0), (-8.0, 8.0)]


@pytest.mark.parametrize("make", TOYS)
def test_the_density_integrates_to_one(make):
    def density(points):
        return make().log_prob(points).exp()

    verify.integral("toy", make.__name__, density, box_of(make), points=240)


@pytest.mark.parametrize("make", TOYS)
def test_the_samples_have_the_density(make):
    """The characteristic function, sampled and integrated on a grid."""
    toy = make()
    x = toy.sample(20_000).double()
    assert x.shape == (20_000, 2)
    ends = box_of(make)
    axes = [torch.linspace(*end, 240, dtype=torch.float64) for end in ends]
    points = torch.cartesian_prod(*axes)
    mass = toy.log_prob(points).exp()
    mass = mass / mass.sum()
    for frequency in ([1.0, 0.0], [0.0, 1.3], [0.7, -0.9]):
        wave = torch.tensor(frequency, dtype=torch.float64)
        for part in (torch.cos, torch.sin):
            expected = (mass * part(points @ wave)).sum()
            samples = part(x @ wave)
            verify.expectation("toy", make.__name__, samples, expected)


@pytest.mark.parametrize("make", TOYS)
def test_little_mass_is_outside_of_the_box(make):
    toy = make()
    outside = (toy.sample(20_000).abs() > toy.box).any(1).double()
    assert outside.mean() < 0.02


def test_the_entropy_of_the_banana():
    toy = banana()
    entropy = 1 + math.log(2 * math.pi) + math.log(2)
    surprise = -toy.log_prob(toy.sample(20_000).double())
    verify.expectation("toy", "entropy", surprise, entropy)


def test_half_of_a_ring_is_inside_of_its_radius():
    """Though there is more room outside of it."""
    toy, radius = ring(radius=2.0, sigma=0.2), 2.0

    def density(r):
        points = torch.cat([r, torch.zeros_like(r)], 1)
        return 2 * math.pi * r[:, 0] * toy.log_prob(points).exp()

    # 8 sigma: 1e-15 is left out
    box = [(radius - 8 * 0.2, radius)]
    verify.integral("toy", "inner half", density, box, value=0.5)


def test_a_ring_that_reaches_its_centre_is_refused():
    with pytest.raises(ValueError, match="must exceed"):
        ring(radius=1.0, sigma=0.2)


def test_histogram():
    mass = histogram()
    assert mass.shape == (20,) and mass.dtype == torch.float64
    assert (mass > 0).all()
    verify.equal("toy", "histogram", mass.sum(), 1.0)

"""Real data sets and toy densities."""

from .images import Images, fashion_mnist, mnist
from .toy import (
    Density2d,
    banana,
    eight_gaussians,
    histogram,
    ring,
    two_moons,
)

__all__ = [
    "Density2d",
    "Images",
    "banana",
    "eight_gaussians",
    "fashion_mnist",
    "histogram",
    "mnist",
    "ring",
    "two_moons",
]

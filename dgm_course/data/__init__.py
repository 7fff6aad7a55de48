"""Real data sets, a simulated world, and toy densities."""

from . import sprites
from .fetch import download
from .images import Images, cifar10, fashion_mnist, mnist
from .speech import Recordings, prompts
from .tables import Table, magic
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
    "Recordings",
    "Table",
    "banana",
    "cifar10",
    "download",
    "eight_gaussians",
    "fashion_mnist",
    "histogram",
    "magic",
    "mnist",
    "prompts",
    "ring",
    "sprites",
    "two_moons",
]

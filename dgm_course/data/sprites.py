"""The dSprites world as a simulator: pictures of one sprite, made on demand.

Matthey, Higgins, Hassabis and Lerchner, "dSprites: disentanglement testing
sprites dataset", 2017: 3 shapes, 6 scales, 40 orientations, 32 x 32 positions.
Nothing is bundled. The geometry below was fitted to frames that its authors
published and gives them up to single pixels on a border: it is the same
world, but not the same file bit by bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

FACTORS = {"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}
SHAPES = ("square", "ellipse", "heart")
COUNT = math.prod(FACTORS.values())
NUISANCES = (16, 16)
CANVAS = 64  # all lengths below are pixels of a 64 x 64 picture
REACH = 13.6  # no sprite is further from its centre: 9.6 * sqrt(2) is most


def world(**levels: Iterable[int]) -> Tensor:
    """Return all factors of a part of the world, (n, 5), int64.

    In the order of the published pictures: the last factor is the fastest.

    Args:
        **levels: Levels that a factor may take, by its name, such as
            ``x=range(0, 32, 2)``; a factor that is not named takes all.

    Raises:
        ValueError: If there is no such factor or level.
    """
    if unknown := set(levels) - set(FACTORS):
        raise ValueError(
            f"there is no factor {' or '.join(sorted(unknown))}; the factors "
            f"are {', '.join(FACTORS)}"
        )
    columns = [
        torch.tensor([*levels.get(name, range(size))])
        for name, size in FACTORS.items()
    ]
    factors = torch.cartesian_prod(*columns)
    _check(factors)
    return factors


def render(
    factors: Tensor, size: int = CANVAS, nuisances: Tensor | None = None
) -> Tensor:
    """Draw pictures of sprites, on the device of the factors.

    A pixel is 1 where its centre lies inside the sprite. The orientations 0
    and 39 are a full turn apart, so their pictures are equal, as published.

    Args:
        factors: Levels (B, 5), integers, in the order of ``FACTORS``.
        size: Height and width of a picture in pixels, at least 8; the
            published pictures have 64.
        nuisances: Two numbers w in {0, ..., 15} for each picture, (B, 2). The
            picture shows their sum alone, as the length of a bar below the
            sprite: given the picture they depend on each other.

    Returns:
        Pictures (B, 1, size, size), uint8 in {0, 1}.

    Raises:
        ValueError: If the factors are no levels, or the size is too small. An
            accelerator would have to wait for the values: there only the
            shape is checked.
    """
    _check(factors)
    if size < 8:
        raise ValueError(f"size = {size}; expected at least 8 pixels")
    n, pixel = len(factors), CANVAS / size
    shape, scale, orientation, column, row = factors.long().unbind(1)
    angle = (orientation % 39) * (2 * math.pi / 39)
    x, y = (16 + level * (32 / 31) for level in (column, row))
    # only a window around the sprite is drawn: a quarter of the picture
    width = min(size, int(2 * REACH / pixel) + 1)
    steps = torch.arange(width, device=factors.device)
    left, top = (
        ((c - REACH) / pixel - 0.5).ceil().long().clamp(0, size - width)
        for c in (x, y)
    )
    columns, rows = left[:, None] + steps, top[:, None] + steps
    dx = ((columns + 0.5) * pixel - x[:, None])[:, None, :]
    dy = ((rows + 0.5) * pixel - y[:, None])[:, :, None]
    cos, sin = (
        (f(angle) / (0.5 + 0.1 * scale))[:, None, None]
        for f in (torch.cos, torch.sin)
    )
    u, v = cos * dx - sin * dy, sin * dx + cos * dy
    of = shape[:, None, None]
    inside = torch.where(
        of == 0,
        _square(u, v),
        torch.where(of == 1, _ellipse(u, v), _heart(u, v)),
    )
    pictures = torch.zeros(
        n, size * size, dtype=torch.uint8, device=factors.device
    )
    place = rows[:, :, None] * size + columns[:, None, :]
    pictures.scatter_(1, place.flatten(1), inside.flatten(1).to(torch.uint8))
    pictures = pictures.view(n, 1, size, size)
    if nuisances is not None:
        _draw_bar(pictures, nuisances)
    return pictures


def _square(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(u.abs(), v.abs()) < 9.6


def _ellipse(u: Tensor, v: Tensor) -> Tensor:
    return (u / 12.77).square() + (v / 7.21).square() < 1


def _heart(u: Tensor, v: Tensor) -> Tensor:
    """Inside of u = 9.6 sin^3 s, v = -0.662 y(s) - 1.435.

    y = 13 cos s - 5 cos 2s - 2 cos 3s - cos 4s. Each u belongs to two s, with
    opposite cosines: what is between their y, even +- odd part, is inside.
    """
    sine = (u.abs() / 9.6).clamp(max=1).pow(1 / 3)
    c2 = 1 - sine.square()
    even = 4 - 2 * c2 - 8 * c2.square()
    odd = c2.sqrt() * (19 - 8 * c2)
    y = (v + 1.435) / -0.662
    return (y - even).abs() < odd


def _draw_bar(pictures: Tensor, nuisances: Tensor) -> None:
    """A bar of length w1 + w2, in 1/32 of the width, in the last rows."""
    n, size = len(pictures), pictures.shape[-1]
    if nuisances.shape != (n, 2):
        raise ValueError(
            f"nuisances have shape {tuple(nuisances.shape)}; expected two "
            f"numbers for each picture, {(n, 2)}"
        )
    length = nuisances.sum(1) * (size / 32)
    centers = torch.arange(size, device=pictures.device) + 0.5
    bar = (centers < length[:, None]).to(torch.uint8)
    rows = max(1, size // 32)  # no sprite comes so low
    pictures[:, 0, -rows:] = bar[:, None, :]


def _check(factors: Tensor) -> None:
    sizes = [*FACTORS.values()]
    if factors.ndim != 2 or factors.shape[1] != len(sizes):
        raise ValueError(
            f"factors have shape {tuple(factors.shape)}; expected (B, 5): "
            f"{', '.join(FACTORS)}"
        )
    if factors.is_floating_point():
        raise ValueError(
            f"factors are {factors.dtype}; expected integers, the levels"
        )
    if factors.device.type != "cpu" or len(factors) == 0:
        return
    low, high = factors.amin(0).tolist(), factors.amax(0).tolist()
    for name, least, most, size in zip(FACTORS, low, high, sizes):
        if least < 0 or most >= size:
            raise ValueError(
                f"{name} takes levels from {least} to {most}; expected "
                f"0, ..., {size - 1}"
            )

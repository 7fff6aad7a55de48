"""Local bits back: a code for points under the density of any flow.

Ho, Lohn and Abbeel, "Compression with Flows via Local Bits-Back Coding",
2019 (the black-box algorithm). A flow f has no distribution
function to code with, but near a point it is a linear map. So read
z ~ N(f(y), s^2 J J') off the stack, write y under N(f^{-1}(z), s^2 I), then z
under the base: the stack grows by -log p(y), up to the curvature of f over
the distance s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..flows import FlowModel, StandardNormal
from .stack import BORROWED, Stack


class LocalBitsBack:
    """Writes and reads points y of a grid inside the cells of integers.

    A flow may bend sharply between two integers, where a table of
    frequencies has its steps, so s shrinks near them: given by y on one side
    and by f^{-1}(z) on the other, which hardly differ.

    The whole Jacobian is computed, a pass over D copies of the point: for D
    up to about a thousand.

    Args:
        model: A flow in float64 whose base is N(0, I).
        grid_bits: y is the middle of an interval of length 2^-grid_bits.

    Raises:
        ValueError: If the base is another one.
    """

    widest = 2.0**-20  # s, in units of y
    step = 2.0**-48  # of the grid of z

    def __init__(self, model: FlowModel, grid_bits: int) -> None:
        if not isinstance(model.base, StandardNormal):
            raise ValueError(
                f"the base is a {type(model.base).__name__}; local bits back "
                "is written for a StandardNormal"
            )
        self.model, self.grid = model, 2.0**-grid_bits

    def push(self, stack: Stack, y: np.ndarray, shape: Sequence[int]) -> None:
        """Write a point: integers (D,), in steps of the grid."""

        def drawn(_: int, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
            return stack.pop_normal(mean, std, BORROWED)

        z = self._near(y, shape, drawn)
        mean, std = self._back(z, shape)
        stack.push_normal(y, mean, std)
        stack.push_normal(z, *self._base(len(z)))

    def pop(self, stack: Stack, shape: Sequence[int]) -> np.ndarray:
        """Read a point."""
        z = stack.pop_normal(*self._base(self.model.base.dim))
        y = stack.pop_normal(*self._back(z, shape))
        normals = []

        def known(i: int, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
            normals.append((mean, std))
            return z[i : i + 1]

        self._near(y, shape, known)
        for i in reversed(range(len(z))):
            stack.push_normal(z[i : i + 1], *normals[i], BORROWED)
        return y

    def _near(
        self,
        y: np.ndarray,
        shape: Sequence[int],
        take: Callable[[int, np.ndarray, np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """Go through z ~ N(f(y), s^2 J J') variable by variable.

        Given those before it, each is normal: with the Cholesky factor L of
        the covariance z_i = f_i + sum_j L_ij e_j, and e_j is known from z_j.
        """
        values = (y + 0.5) * self.grid  # never on the border of a cell
        point = torch.from_numpy(values).view(1, *shape)
        with torch.no_grad():
            center = self.model.flow(point)[0].flatten().numpy()
        # one copy of the point per output: row i becomes the gradient of z_i
        copies = point.expand(len(y), *shape).clone().requires_grad_()
        outputs = self.model.flow(copies)[0].flatten(1).diagonal()
        (jacobian,) = torch.autograd.grad(outputs.sum(), copies)
        jacobian = jacobian.flatten(1) * torch.from_numpy(self._noise(values))
        square = jacobian @ jacobian.T
        factor = torch.linalg.cholesky(square).numpy()
        z, e = np.zeros(len(y), dtype=np.int64), np.zeros(len(y))
        for i in range(len(y)):
            mean = center[i] + factor[i, :i] @ e[:i]
            std = factor[i, i]
            normal = np.array([mean, std]) / self.step
            z[i] = take(i, normal[:1], normal[1:])[0]
            e[i] = (z[i] * self.step - mean) / std
        return z

    @torch.no_grad()
    def _back(
        self, z: np.ndarray, shape: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and std of y given z, in steps of the grid."""
        code = torch.from_numpy(z * self.step)[None]
        y = self.model.flow.inverse(code)[0].flatten().numpy()
        return y / self.grid - 0.5, self._noise(y) / self.grid

    def _noise(self, y: np.ndarray) -> np.ndarray:
        """Return s: 1/32 of the way to the next integer, and not too wide."""
        return np.minimum(np.abs(y - np.rint(y)) / 32, self.widest) + 2.0**-26

    def _base(self, dim: int) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(dim), np.full(dim, 1 / self.step)

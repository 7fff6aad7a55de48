"""MAF, and IAF, its inverse: flows whose Jacobian is triangular.

Papamakarios, Pavlakou and Murray, "Masked Autoregressive Flow for Density
Estimation", 2017. Kingma et al., "Improved Variational Inference with Inverse
Autoregressive Flow", 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from ..limits import at_least
from ..nn import MADE, made_inverse
from ..sight import holds
from .base import (
    Compose,
    Flow,
    FlowModel,
    Inverse,
    StandardNormal,
    WithLadj,
)
from .conditionals import Affine, Conditional
from .layers import Permutation
from .mixtures import GaussianMixture
from .realnvp import AffineCoupling


class MAF(Flow):
    """z_i = f(x_i; parameters computed from x_1, ..., x_{i-1}).

    The Jacobian is lower triangular, so ladj is the sum of log dz_i/dx_i.
    ``forward`` takes one pass of the network. ``inverse`` has to find x_1
    before x_2, but computes each hidden unit only once
    (:func:`~dgm_course.nn.made_inverse.blocked`).

    Args:
        dim: Number of columns D.
        hidden: Widths of the hidden layers of the MADE.
        context: Width of an optional context vector.
        conditional: The one-dimensional map; affine by default.
        activation: See :class:`~dgm_course.nn.MADE`.
        residual: See :class:`~dgm_course.nn.MADE`.
        degrees: See :class:`~dgm_course.nn.MADE`.
    """

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int] = (256, 256),
        context: int = 0,
        conditional: Conditional | None = None,
        activation: Callable[[], nn.Module] = nn.ReLU,
        residual: bool = False,
        degrees: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        self.conditional = Affine() if conditional is None else conditional
        outputs = self.conditional.outputs
        self.made = MADE(
            dim, hidden, outputs, context, activation, residual, degrees
        )
        # start with the same parameters everywhere: the identity, if affine
        last = self.made.layers[-1]
        nn.init.zeros_(last.weight)
        with torch.no_grad():
            last.bias.copy_(self.conditional.start().repeat(dim))

    def forward(self, x: Tensor, context: Tensor | None = None) -> WithLadj:
        """Data to noise, all columns at once."""
        z, slope = self.conditional.forward(x, self.made(x, context))
        return z, slope.sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> WithLadj:
        """Noise to data, exactly, column after column.

        The gradient, where one is asked for, is that of the implicit function
        x(z): the solution itself stays outside the graph.
        """
        x, ladj = made_inverse.blocked(
            self.made, self.conditional.inverse, z.detach(), context
        )
        if not torch.is_grad_enabled():
            return x, ladj
        # f(x) = z, so J dx = dz - (what the parameters do to f at fixed x)
        change = z - self.forward(x, context)[0]
        change = change - change.detach()
        solve = partial(self._solve_transposed, x, context)
        x = x + _Implicit.apply(change, solve)
        return x, -self.forward(x, context)[1]

    def inverse_textbook(
        self, z: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The inverse of z (B, D) in D passes of the network, to compare."""
        return made_inverse.textbook(
            self.made, self.conditional.inverse, z, context
        )

    def inverse_jacobi(
        self,
        z: Tensor,
        context: Tensor | None = None,
        tolerance: float = 0.0,
    ) -> tuple[Tensor, Tensor, int]:
        """The inverse of z (B, D) by Jacobi sweeps, and how many it took."""
        return made_inverse.jacobi(
            self.made, self.conditional.inverse, z, context, tolerance
        )

    def _solve_transposed(
        self, x: Tensor, context: Tensor | None, gradient: Tensor
    ) -> Tensor:
        """Return v with J^T v = gradient, where J = df/dx at x.

        J is diagonal plus strictly triangular, so v = (gradient - N^T v) /
        diagonal reaches its fixed point after D sweeps or fewer.
        """

        def forward(seen: Tensor) -> tuple[Tensor, Tensor]:
            return self.conditional.forward(x, self.made(seen, context))

        _, pull_back, slope = torch.func.vjp(  # type: ignore[misc]
            forward, x, has_aux=True
        )
        v = gradient * (-slope).exp()
        for _ in range(self.made.dim):
            before, v = v, (gradient - pull_back(v)[0]) * (-slope).exp()
            if holds((v == before).all()):
                break
        return v


class _Implicit(torch.autograd.Function):
    """The identity, whose gradient is solved for.

    It has no jvp, so that torch refuses forward-mode differentiation, which
    would take no notice of the solve.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(change: Tensor, solve: Callable[[Tensor], Tensor]) -> Tensor:
        return change.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.solve = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Once.apply(ctx.solve(gradient)), None


class _Once(torch.autograd.Function):
    """The identity, which cannot be differentiated again."""

    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> NoReturn:
        raise RuntimeError(
            "MAF.inverse has first derivatives only; inverse_textbook has all"
        )


class IAF(Inverse):
    """A MAF the other way round: the conditioning is on the noise.

    x_i = (z_i - mean(z_1, ..., z_{i-1})) exp(-s(z_1, ..., z_{i-1})): one pass
    from noise to data, and a sequential search back (Kingma et al., 2016).
    Arguments: see :class:`MAF`.
    """

    def __init__(self, dim: int, *args: Any, **options: Any) -> None:
        super().__init__(MAF(dim, *args, **options))


def coupling_as_iaf(coupling: AffineCoupling) -> Flow:
    """Return the same map as an IAF on copied weights (section 3.4).

    A coupling is autoregressive with mean 0 and scale 1 for i <= d, and with
    parameters that depend on columns 1, ..., d alone for the others: hidden
    units of degree d see these columns, and only later outputs see them.

    Raises:
        ValueError: If the network of the coupling has no hidden layer.
    """
    halves: Any = coupling.partition
    conditional: Any = coupling.conditional
    net: Any = coupling.net
    kept, changed = halves.kept, halves.changed
    linear: list[Any] = [m for m in net if isinstance(m, nn.Linear)]
    if len(linear) < 2:
        raise ValueError(
            "the network of the coupling has no hidden layer; an IAF on copied "
            "weights needs at least one"
        )
    bottom, *middle, top = linear
    hidden = [layer.out_features for layer in (bottom, *middle)]
    iaf: Any = IAF(
        kept + changed,
        hidden,
        context=bottom.in_features - kept,
        conditional=Affine(conditional.bound),
        activation=lambda: net[1],
        degrees=[[kept] * width for width in hidden],
    ).to(bottom.weight)
    made = iaf.flow.made
    first, *between, last = made.layers

    def interleave(rows: Tensor) -> Tensor:
        """From all log-scales, all shifts to (mean, log-scale) pairs."""
        return torch.stack(rows.chunk(2)[::-1], 1).flatten(0, 1)

    with torch.no_grad():
        first.bias.copy_(bottom.bias)
        first.weight[:, :kept] = bottom.weight[:, :kept]
        if made.context is not None:
            made.context.weight.copy_(bottom.weight[:, kept:])
        for ours, theirs in zip(between, middle):
            ours.load_state_dict(theirs.state_dict())
        last.bias[2 * kept :] = interleave(top.bias)
        last.weight[2 * kept :] = interleave(top.weight)
    if not halves.swap:
        return iaf
    kept_first = Permutation([*range(changed, changed + kept), *range(changed)])
    return Compose(kept_first, iaf, Inverse(kept_first))


def maf(
    dim: int,
    layers: int = 5,
    hidden: Sequence[int] = (256, 256),
    context: int = 0,
    order: str = "reverse",
    components: int = 1,
    activation: Callable[[], nn.Module] = nn.ReLU,
    residual: bool = False,
    preprocess: Flow | None = None,
) -> FlowModel:
    """Assemble a MAF with a standard normal base.

    ``maf(dim, layers=1)`` is a Gaussian MADE, ``maf(dim, layers=1,
    components=10)`` the paper's MADE MoG.

    Args:
        dim: Number of columns D.
        layers: Number of autoregressive maps.
        hidden: Widths of the hidden layers of each.
        context: Width of an optional context vector.
        order: What comes between two of them: "reverse" turns the order of
            the columns round (the paper's choice), "random" shuffles it, and
            "same" leaves it, so that all of them make one Gaussian
            autoregressive model.
        components: Gaussians in the conditionals of the map next to the
            noise; the others are affine (the paper's MAF MoG).
        activation: See :class:`~dgm_course.nn.MADE`; with a smooth one the
            density is smooth.
        residual: See :class:`~dgm_course.nn.MADE`.
        preprocess: Applied to the data first, such as
            :class:`~dgm_course.flows.layers.Logit` for pixels.

    Raises:
        ValueError: If ``order`` is none of the three, or a number is below 1.
    """
    between: dict[str, Callable[[int], list[Flow]]] = {
        "reverse": lambda i: [Permutation.reverse(dim)],
        "random": lambda i: [Permutation.random(dim, seed=i)],
        "same": lambda i: [],
    }
    if order not in between:
        raise ValueError(f"order = {order!r}; expected one of {[*between]}")
    at_least(1, layers=layers, components=components)
    flows: list[Flow] = [] if preprocess is None else [preprocess]
    for i in range(layers):
        if i > 0:
            flows += between[order](i)
        mixture = components > 1 and i == layers - 1
        conditional = GaussianMixture(components) if mixture else Affine()
        flows.append(
            MAF(dim, hidden, context, conditional, activation, residual)
        )
    return FlowModel(Compose(*flows), StandardNormal(dim))

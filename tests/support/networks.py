"""Random MADEs of any shape, and what they take."""

import torch
from hypothesis import strategies as st
from torch import nn

from dgm_course.nn import MADE

from . import randomize


@st.composite
def networks(draw, activation=nn.Tanh, min_dim=1):
    """A random MADE in float64: any widths, degrees, context, residual."""
    dim = draw(st.integers(min_dim, 6))
    residual = draw(st.booleans())
    hidden = draw(st.lists(st.integers(1, 9), max_size=3))
    context = draw(st.integers(0, 2))
    degrees = None
    if residual and hidden:
        hidden = hidden[:1] * len(hidden)
    if draw(st.booleans()):
        one = st.integers(0, dim - 1)
        degrees = [
            sorted(draw(st.lists(one, min_size=n, max_size=n))) for n in hidden
        ]
        if residual:
            degrees = [degrees[0]] * len(degrees) if degrees else degrees
    torch.manual_seed(draw(st.integers(0, 2**31)))
    made = MADE(
        dim,
        hidden,
        outputs=draw(st.integers(1, 3)),
        context=context,
        activation=activation,
        residual=residual,
        degrees=degrees,
    )
    return randomize(made, std=0.7).double()


def inputs(made, n=3):
    x = torch.randn(n, made.dim, dtype=torch.float64)
    if made.context is None:
        return x, None
    return x, torch.randn(n, made.context.in_features, dtype=torch.float64)

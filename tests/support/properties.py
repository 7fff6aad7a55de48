"""What every flow must do; each takes a flow, a batch, and its context."""

import warnings

import torch

EPS = torch.finfo(torch.float64).eps


def jacobian(function, x, context):
    """Return the Jacobian of each row, (B, D, D)."""

    def row(x, context=None):
        context = None if context is None else context[None]
        return function(x[None], context)[0][0].flatten()

    rows = (x,) if context is None else (x, context)
    with warnings.catch_warnings():
        # some operations run row by row there, which is slow and right
        warnings.filterwarnings("ignore", "There is a performance drop")
        matrix = torch.func.vmap(torch.func.jacrev(row))(*rows)
    return matrix.flatten(2)


def condition(function, x, context):
    """Largest condition number over the batch: how far errors grow."""
    worst = torch.linalg.cond(jacobian(function, x, context)).max().item()
    assert worst < 1 / EPS, "the map cannot be inverted"
    return worst


def round_trip(flow, x, context):
    """The inverse undoes the flow, and its ladj is the negative."""
    z, ladj = flow(x, context)
    back, ladj_back = flow.inverse(z, context)
    size = max(1.0, x.abs().max().item(), z.abs().max().item())
    tolerance = 256 * EPS * size * condition(flow, x, context)
    assert (back - x).abs().max() <= tolerance
    assert (ladj + ladj_back).abs().max() <= tolerance
    assert back.shape == x.shape
    assert ladj.shape == ladj_back.shape == x.shape[:1]


def ladj_is_logdet(function, x, context):
    """Of either direction, against the Jacobian that autograd finds."""
    expected = jacobian(function, x, context).slogdet().logabsdet
    tolerance = 256 * EPS * condition(function, x, context)
    assert (function(x, context)[1] - expected).abs().max() <= tolerance


def rows_do_not_mix(flow, x, context):
    """A row gives the same alone as in a batch."""
    one = None if context is None else context[2:3]
    for together, alone in zip(flow(x, context), flow(x[2:3], one)):
        # a matrix product rounds differently for another number of rows
        tolerance = 256 * EPS * max(1.0, together.abs().max().item())
        assert (together[2:3] - alone).abs().max() <= tolerance

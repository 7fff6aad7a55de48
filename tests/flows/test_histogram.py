"""The histogram flow is the table of frequencies, in every digit."""

import pytest
import torch
from support.cases import counts

from dgm_course import flows, verify
from dgm_course.dequantization import Dequantized

LEVELS, DIM = 256, 6


def skewed(dtype=torch.float64):
    """Frequencies of 256 grey values over six orders of magnitude."""
    torch.manual_seed(0)
    table = 0.1 + 1e5 * torch.rand(DIM, LEVELS, dtype=torch.float64) ** 12
    table[0, 0] = 1e6  # a pixel that is nearly always black
    model = flows.FlowModel(flows.Histogram(table), flows.StandardNormal(DIM))
    log_p = (table / table.sum(1, keepdim=True)).log()
    verify.equal("", "the table", model.flow.log_p, log_p.float())
    return model.to(dtype), model.flow.log_p.double().log_softmax(1)


def test_score_is_that_of_the_table():
    """Whatever the noise: the density is constant on cubes."""
    model, log_p = skewed()
    x = torch.randint(0, LEVELS, (50, DIM))
    x[:5] = torch.tensor([0, 1, 2, 254, 255])[:, None]
    expected = log_p.gather(1, x.T).sum(0)
    u = torch.rand(50, DIM, dtype=torch.float64)
    for noise in (u, 0 * u, 1 - 1e-9 + 0 * u):
        verify.equal("", "", model.log_prob(x + noise), expected, size=40.0)
    bound = Dequantized(model.float()).elbo(x)
    verify.equal("", "float32", bound, expected, size=40.0)


def test_an_edge_that_rounding_reached_stays_finite():
    """255 + u may be rounded to 256, and 0 + u may be 0."""
    model, _ = skewed(torch.float32)
    edges = torch.tensor([[0.0] * DIM, [256.0] * DIM])
    z, ladj = model.flow(edges)
    assert z.isfinite().all() and ladj.isfinite().all()
    assert (z[0] < 0).all() and (z[1] > 0).all()


def test_samples_have_the_frequencies_of_the_table():
    model, log_p = skewed()
    torch.manual_seed(1)
    k = model.sample(20_000).floor().long()
    assert k.min() >= 0 and k.max() < LEVELS
    for d in range(DIM):
        top = log_p[d].argsort(descending=True)[:3]
        for grey in top:
            hit = (k[:, d] == grey).double()
            verify.expectation("", "", hit, log_p[d, grey].exp())


def test_every_level_is_found_again():
    """Also those whose mass is a millionth, on both ends."""
    model, _ = skewed()
    x = torch.arange(LEVELS, dtype=torch.float64)[:, None] + 0.5
    x = x.expand(LEVELS, DIM)
    back, _ = model.flow.inverse(model.flow(x)[0])
    assert torch.equal(back.floor(), x.floor())


def test_stored_tables_need_not_be_normalized():
    """Weights are stored in half precision; the density stays one."""
    flow = flows.Histogram(counts(2, 4))
    flow.log_p += 0.3
    model = flows.FlowModel(flow, flows.StandardNormal(2)).double()
    # midpoints of an even grid: constant on each of its 4 x 4 squares
    verify.integral(
        "",
        "",
        lambda x: model.log_prob(x).exp(),
        [(0.0, 4.0)] * 2,
        points=80,
    )


def test_a_frequency_of_zero_is_refused():
    with pytest.raises(ValueError, match="to all, for instance"):
        flows.Histogram(torch.tensor([[1.0, 0.0]]))
    with pytest.raises(ValueError, match=r"expected positive numbers \(D, L\)"):
        flows.Histogram(torch.ones(4))

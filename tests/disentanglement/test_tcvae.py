import math

import pytest
import torch
from support.pretend import gpu, like, move

from dgm_course import vae
from dgm_course.disentanglement import TCObjective, decompose, weighted_log_q
from dgm_course.verify import mean_and_se

N, D = 60, 3


@pytest.fixture(scope="module")
def codes():
    torch.manual_seed(0)
    turn = torch.linalg.qr(torch.randn(D, D)).Q
    mean = torch.randn(N, D) * torch.tensor([1.5, 0.7, 0.1]) @ turn
    return vae.Codes(mean, torch.randn(N, D) * 0.3 - 1)


def dense(z, codes):
    """log q(z|x_m) of all pairs and units, (N, n, d), by torch."""
    normal = torch.distributions.Normal(codes.mean, codes.log_std.exp())
    return normal.log_prob(z[:, None])


def tiny():
    return vae.mlp_vae(2, hidden=(8,), shape=(1, 4, 4))


def test_the_three_terms_are_the_kl(codes):
    torch.manual_seed(0)
    many = vae.Codes(*(part.repeat(20, 1) for part in codes))
    found = decompose(many, points=len(many.mean))
    kl = vae.kl_to_standard_normal(*codes).sum(1).mean().item()
    total = found.information + found.marginal_kl
    mean, se = mean_and_se(total)
    assert abs(mean - kl) < 5 * se
    # KLs are not negative, and the information is at most log n
    for term in found:
        mean, se = mean_and_se(term)
        assert mean > -5 * se
    assert found.information.max() <= math.log(len(many.mean)) + 1e-9


def test_the_terms_are_those_of_dense_tables(codes):
    torch.manual_seed(0)
    rows = torch.randperm(N)[:7]
    z = vae.Codes(codes.mean[rows], codes.log_std[rows]).sample()
    torch.manual_seed(0)
    found = decompose(codes, points=7)
    pairs = dense(z, codes).double()
    joint = pairs.sum(2).logsumexp(1) - math.log(N)
    units = (pairs.logsumexp(1) - math.log(N)).sum(1)
    log_p = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    for ours, expected in (
        (found.total_correlation, joint - units),
        (found.dimension_kl, units - log_p),
    ):
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def test_independent_units_have_no_total_correlation():
    """All combinations of 12 levels in each of two units."""
    levels = torch.linspace(-2, 2, 12)
    mean = torch.cartesian_prod(levels, levels)
    grid = vae.Codes(mean, torch.full_like(mean, -2.0))
    torch.testing.assert_close(
        decompose(grid).total_correlation,
        torch.zeros(144, dtype=torch.float64),
        atol=1e-5,
        rtol=0,
    )


def test_the_estimate_is_the_sum_over_the_batch(codes):
    torch.manual_seed(0)
    z = codes.sample()
    joint, units = weighted_log_q(z, codes, n=1000)
    pairs = dense(z, codes)
    weight = math.log(1000 * N)
    torch.testing.assert_close(joint, pairs.sum(2).logsumexp(1) - weight)
    torch.testing.assert_close(units, (pairs.logsumexp(1) - weight).sum(1))


def test_the_estimate_is_at_most_q_over_the_batch_size(codes):
    torch.manual_seed(0)
    z = codes.sample()
    exact, _ = vae.aggregated(z[:10], codes)
    part = vae.Codes(codes.mean[:10], codes.log_std[:10])
    joint, _ = weighted_log_q(z[:10], part, n=N)
    assert (joint.double() <= exact - math.log(10) + 1e-5).all()


def test_equal_codes_are_off_by_log_n():
    same = vae.Codes(torch.zeros(8, D), torch.zeros(8, D))
    z = same.sample()
    joint, units = weighted_log_q(z, same, n=500)
    expected = torch.full((8,), (D - 1) * math.log(500))
    torch.testing.assert_close(joint - units, expected, atol=1e-4, rtol=0)


def test_beta_one_is_the_elbo_and_more_adds_total_correlation():
    torch.manual_seed(0)
    model, x = tiny().train(), torch.randint(2, (9, 1, 4, 4)).to(torch.uint8)
    losses = {}
    for beta in (1.0, 3.0):
        torch.manual_seed(1)
        losses[beta] = TCObjective(9, beta)(model, x, 0)
    torch.manual_seed(1)
    torch.testing.assert_close(losses[1.0], vae.Objective()(model, x, 0))
    torch.manual_seed(1)
    codes = vae.Codes(*model.posterior.mean_and_log_std(model.encode(x)))
    joint, units = weighted_log_q(codes.sample(), codes, 9)
    torch.testing.assert_close(
        losses[3.0] - losses[1.0], 2 * (joint - units), atol=1e-4, rtol=1e-4
    )


def test_a_model_in_evaluation_is_judged_by_its_elbo():
    model, x = tiny().eval(), torch.zeros(5, 1, 4, 4, dtype=torch.uint8)
    torch.manual_seed(0)
    loss = TCObjective(5, 8.0)(model, x, 0)
    torch.manual_seed(0)
    torch.testing.assert_close(loss, -model.elbo(x))


def test_it_trains_on_a_device_without_waiting():
    model, x = tiny().train(), torch.zeros(6, 1, 4, 4, dtype=torch.uint8)
    with gpu() as waits:
        TCObjective(6, 4.0)(move(model), like(x), 0).mean().backward()
        assert waits.seen == []


def test_a_posterior_of_another_kind_is_refused():
    flow = vae.iaf_posterior(2, 1, (4,))
    model = tiny()
    bent = vae.VAE(model.encoder, model.decoder, flow).train()
    with pytest.raises(ValueError, match="FlowPosterior; the total"):
        TCObjective(3)(bent, torch.zeros(3, 1, 4, 4, dtype=torch.uint8), 0)

"""Posteriors that a flow bends, against grids and against each other."""

import math

import pytest
import torch
from support import randomize
from support.vaes import all_pictures, tiny_vae
from torch import nn

from dgm_course import verify
from dgm_course.flows import (
    AffineCoupling,
    Compose,
    Planar,
    StandardNormal,
    Sylvester,
    maf,
)
from dgm_course.vae import (
    VAE,
    DiagonalGaussian,
    FlowPosterior,
    best_outputs,
    encoder_outputs,
    grid_log_likelihood,
    iaf_posterior,
    output_weights,
    posterior_gaps,
    tune_outputs,
)


def flow(kind, dim=2, context=3):
    return {
        "planar": lambda: Compose(*[Planar(dim, context) for _ in range(3)]),
        "sylvester": lambda: Sylvester(dim, dim, context),
        "coupling": lambda: AffineCoupling(dim, (8,), context=context),
        "iaf": lambda: iaf_posterior(dim, 3, (8,), context).flow,
    }[kind]()


KINDS = ["planar", "sylvester", "coupling", "iaf"]


def bent(kind, seed=3):
    """A tiny VAE whose posterior is bent, and wide enough for weights."""
    model = tiny_vae(latents=2, seed=seed)
    posterior = FlowPosterior(randomize(flow(kind)), 2, 3)
    last = nn.Linear(8, posterior.inputs)
    with torch.no_grad():
        last.weight[2:4], last.bias[2:4] = 0, 0.3
    model.encoder[1][-1] = last
    return VAE(model.encoder, model.decoder, posterior).double()


@pytest.mark.parametrize("kind", KINDS)
def test_weights_have_the_mean_p(kind):
    """E_q p(x, z) / q(z|x) = p(x): log q belongs to the z that was drawn."""
    torch.manual_seed(0)
    model, x = bent(kind), all_pictures()[5:6].expand(500, 1, 2, 2)
    log_p = grid_log_likelihood(model, x[:1], 400, box=8.0)
    weights = output_weights(model, x, encoder_outputs(model, x), 40)
    verify.expectation("", "p(x)", (weights - log_p).exp(), 1.0)
    # and it matters: the sign of the slide gives something else
    many = x[:1].expand(20_000, 1, 2, 2)
    gaussian, context = encoder_outputs(model, many).split([4, 3], 1)
    z0, log_q0 = model.posterior.base.rsample_and_log_prob(gaussian)
    z, ladj = model.posterior.flow.inverse(z0, context)
    log_x = model.likelihood.log_prob(many, model.decoder(z))
    wrong = log_x + model.prior.log_prob(z) - (log_q0 + ladj)
    with pytest.raises(verify.CheckFailed):
        verify.expectation("", "p(x)", (wrong - log_p).exp(), 1.0)


@pytest.mark.parametrize("kind", ["coupling", "iaf"])
def test_density_where_the_flow_can_be_undone(kind):
    torch.manual_seed(0)
    posterior = FlowPosterior(randomize(flow(kind)), 2, 3).double()
    h = torch.randn(1, 7).double()
    h[:, 2:4] = -1.0  # nothing is left beyond the box

    def density(z):
        gaussian, context = h.expand(len(z), -1).split([4, 3], 1)
        z0, ladj = posterior.flow(z, context)
        mean, log_std = posterior.base.mean_and_log_std(gaussian)
        noise = (z0 - mean) / log_std.exp()
        return (StandardNormal(2).log_prob(noise) - log_std.sum(1) + ladj).exp()

    z, log_q = posterior.rsample_and_log_prob(h.expand(50, -1))
    verify.equal("", "log q", density(z).log(), log_q, 10_000)
    verify.integral("", "one", density, [(-40.0, 40.0)] * 2, points=1200)


@pytest.mark.parametrize("kind", KINDS)
def test_context_reaches_the_flow(kind):
    torch.manual_seed(0)
    posterior = FlowPosterior(randomize(flow(kind)), 2, 3).double()
    h = torch.zeros(2, 7).double()
    h[1, 4:] = 2.0
    torch.manual_seed(1)
    one, _ = posterior.rsample_and_log_prob(h[:1])
    torch.manual_seed(1)
    two, _ = posterior.rsample_and_log_prob(h[1:])
    assert (one - two).abs().max() > 1e-3


def test_without_a_context_the_flow_gets_none():
    posterior = FlowPosterior(Planar(2), 2)
    assert posterior.inputs == 4
    z, log_q = posterior.rsample_and_log_prob(torch.zeros(5, 4))
    assert z.shape == (5, 2) and log_q.shape == (5,)
    with pytest.raises(ValueError, match="context = -1"):
        FlowPosterior(Planar(2), 2, -1)


def jacobian(posterior, z, context):
    def row(z, context):
        return posterior.flow.inverse(z[None], context[None])[0][0]

    return torch.func.vmap(torch.func.jacrev(row))(z, context)


def test_the_order_changes_between_steps():
    torch.manual_seed(0)
    z, context = torch.randn(7, 4).double(), torch.randn(7, 3).double()
    for order, mixed in (("reverse", True), ("same", False)):
        posterior = iaf_posterior(4, 3, (16,), 3, order)
        randomize(posterior, 0.5).double()
        above = jacobian(posterior, z, context).triu(1).abs().max()
        assert (above > 1e-3) == mixed, order
    with pytest.raises(ValueError, match="order = 'none'"):
        iaf_posterior(4, 3, order="none")


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("order", ["reverse", "random", "same"])
def test_an_iaf_starts_as_the_identity(steps, order):
    """Or an encoder that was trained without it would be lost."""
    posterior, z = iaf_posterior(5, steps, (8,), 0, order), torch.randn(3, 5)
    found, ladj = posterior.flow.inverse(z)
    assert torch.equal(found, z) and not ladj.any()


def test_an_iaf_step_is_one_pass():
    posterior, passes = iaf_posterior(4, 3, (16,), 3), []
    for module in posterior.modules():
        if type(module).__name__ == "MADE":
            module.register_forward_hook(lambda *_: passes.append(1))
    posterior.rsample_and_log_prob(torch.randn(2, 11))
    assert len(passes) == 3


def test_flow_prior_is_flow_posterior():
    """With the decoder p(x | g(eps)), number by number."""
    torch.manual_seed(0)
    prior = randomize(maf(2, 2, (8,)))
    tiny = tiny_vae(latents=2)
    one = VAE(tiny.encoder, tiny.decoder, DiagonalGaussian(2), prior).double()

    class Through(nn.Module):
        def forward(self, eps):
            return tiny.decoder(prior.flow.inverse(eps)[0])

    turned = FlowPosterior(Compose(prior.flow), 2)
    turned.flow = type("Turned", (nn.Module,), {})()
    turned.flow.inverse = lambda z, context=None: prior.flow(z, context)
    two = VAE(tiny.encoder, Through(), turned).double()
    x = all_pictures()
    torch.manual_seed(1)
    first = one.parts(x, analytic=False)
    torch.manual_seed(1)
    second = two.parts(x)
    verify.equal(
        "", "reconstruction", *(p.reconstruction for p in (first, second)), 4096
    )
    verify.equal("", "KL", first.kl, second.kl, 4096)


@pytest.mark.parametrize("kind", KINDS)
def test_tuning_raises_the_bound_and_leaves_the_model_alone(kind):
    torch.manual_seed(0)
    model, x = bent(kind).requires_grad_(False), all_pictures()[:6]
    before = [p.clone() for p in model.parameters()]
    start = encoder_outputs(model, x)
    tuned = tune_outputs(model, x, start, steps=80)
    gain = (output_weights(model, x, tuned, 400)
            - output_weights(model, x, start, 400)).mean(1)  # fmt: skip
    assert (gain > 0).all()
    assert all(map(torch.equal, before, model.parameters()))
    log_p = grid_log_likelihood(model, x, 400, box=8.0)
    for row, truth in zip(output_weights(model, x, tuned, 400), log_p):
        verify.mean_at_most("", "a bound", row, truth)


def test_the_start_among_candidates_helps_an_encoder_that_is_lost():
    torch.manual_seed(0)
    model, x = bent("iaf").requires_grad_(False), all_pictures()
    good = tune_outputs(model, x, encoder_outputs(model, x), steps=80)
    model.encoder[1][-1].bias[0] = 30.0  # far from every code
    found = best_outputs(model, x, good, steps=3)
    alone = tune_outputs(model, x, encoder_outputs(model, x), steps=3)
    gain = output_weights(model, x, found, 100).mean(1)
    gain = gain - output_weights(model, x, alone, 100).mean(1)
    assert (gain > 10).all()


def test_gaps_are_those_of_their_definition():
    torch.manual_seed(0)
    model, x = bent("coupling").requires_grad_(False), all_pictures()[:8]
    found = posterior_gaps(model, x, encoder_outputs(model, x), 400, steps=60)
    log_p = grid_log_likelihood(model, x, 400, box=8.0)
    verify.equal("", "amortization", found.amortization,
                 found.tuned_elbo - found.elbo)  # fmt: skip
    assert found.amortization.mean() > 0 and found.approximation.mean() > 0
    left = (log_p - found.tuned_bound).mean()
    assert -0.02 < left < 0.1 and math.isfinite(left)

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dgm_course import verify
from dgm_course.vae import DiscreteVAE

models = st.builds(
    DiscreteVAE.random,
    n=st.integers(2, 12),
    m=st.integers(2, 12),
    seed=st.integers(0, 2**31),
    sharpness=st.floats(0.1, 6.0),
)
# each quantity is a sum of at most 144 rounded terms
ROUNDINGS = 1000


def same(left, right):
    verify.equal("", "", left, right, ROUNDINGS)


@settings(deadline=None)
@given(models)
def test_tables_are_distributions(model):
    same(model.posterior.sum(1), 1.0)
    same(model.prior.sum(), 1.0)
    same(model.likelihood.sum(0), 1.0)
    same(model.aggregated.sum(), 1.0)


@settings(deadline=None)
@given(models)
def test_three_readings_of_the_elbo(model):
    same(model.elbo, model.log_likelihood - model.posterior_gap)
    same(model.elbo, model.negative_energy + model.entropy)
    verify.at_most("", "", model.elbo, model.log_likelihood, ROUNDINGS)


@settings(deadline=None)
@given(models)
def test_surgery(model):
    same(model.kl.mean(), model.information + model.marginal_kl)
    n = len(model.posterior)
    same(model.information, math.log(n) - model.index_entropy)
    verify.at_most("", "", 0.0, model.information, ROUNDINGS)
    verify.at_most("", "", model.information, math.log(n), ROUNDINGS)
    verify.at_most("", "", 0.0, model.marginal_kl, ROUNDINGS)


@settings(deadline=None)
@given(models, st.integers(0, 2**31))
def test_optimal_prior_is_the_aggregated_posterior(model, seed):
    best = model.with_prior(model.aggregated)
    gain = best.elbo.mean() - model.elbo.mean()
    same(gain, model.marginal_kl)
    same(best.marginal_kl, 0.0)
    other = DiscreteVAE.random(2, len(model.prior), seed).prior
    rival = model.with_prior(other)
    verify.at_most("", "", rival.elbo.mean(), best.elbo.mean(), ROUNDINGS)


def swapped_kl(model):
    q, p = model.aggregated, model.prior
    return model.information, (p * (p / q).log()).sum()


def missing_log_n(model):
    return -model.index_entropy, model.marginal_kl


def without_own_component(model):
    n = len(model.posterior)
    others = (model.posterior.sum(0) - model.posterior) / (n - 1)
    ratio = (model.posterior / others).log()
    return (model.posterior * ratio).sum(1).mean(), model.marginal_kl


def averaged_over_states(model):
    return model.information, model.marginal_kl / len(model.prior)


@pytest.mark.parametrize(
    "mutant",
    [
        swapped_kl,
        missing_log_n,
        without_own_component,
        averaged_over_states,
    ],
)
def test_mutants_break_the_surgery(mutant):
    model = DiscreteVAE.random(6, 5, seed=0, sharpness=2.0)
    information, marginal_kl = mutant(model)
    with pytest.raises(verify.CheckFailed):
        same(model.kl.mean(), information + marginal_kl)


def test_the_marginal_kl_may_be_infinite():
    """A prior that misses a state has no ELBO, and says so."""
    model = DiscreteVAE.random(3, 3, seed=0)
    hole = model.with_prior(torch.tensor([0.5, 0.5, 0.0]).double())
    assert hole.marginal_kl == math.inf


def test_states_that_never_occur_add_nothing():
    """0 log 0 = 0: as a limit, and as no term of the sum."""
    small = DiscreteVAE.random(3, 2, seed=0)
    column = torch.zeros(3, 1, dtype=torch.float64)
    padded = DiscreteVAE(
        torch.cat([small.posterior, column], 1),
        torch.cat([small.prior, column[0]]),
        torch.cat([small.likelihood, column], 1),
    )
    for name in ("reconstruction", "negative_energy", "elbo", "information"):
        same(getattr(padded, name), getattr(small, name))


def test_sharpness_is_the_scale_of_the_logits():
    flat, sharp = (
        DiscreteVAE.random(3, 4, seed=0, sharpness=s).posterior.log()
        for s in (1.0, 5.0)
    )
    logits = flat - flat.mean(1, keepdim=True)
    same(sharp - sharp.mean(1, keepdim=True), 5 * logits)

import math

import pytest
import torch

from dgm_course import verify
from dgm_course.vae import (
    VAE,
    AggregatedPosterior,
    Codes,
    DiagonalGaussian,
    MixtureOfGaussians,
    Parts,
    Posterior,
    Surgery,
    aggregated,
    elbo_surgery,
    encode_all,
    kl_to_standard_normal,
    log_normal,
    minibatch_information,
    mlp_vae,
    surgery,
)


def informative_vae(latents, n=400, seed=0):
    """A small VAE whose posteriors are apart from each other."""
    torch.manual_seed(seed)
    model = mlp_vae(latents, hidden=(16,), shape=(1, 4, 4)).double()
    with torch.no_grad():
        last = model.encoder[1][-1]
        last.weight[:latents] *= 12
        last.bias[latents:] -= 1.5
    return model, torch.randint(0, 2, (n, 1, 4, 4), dtype=torch.uint8)


def random_codes(n, dim, spread=2.0, seed=0):
    torch.manual_seed(seed)
    mean = spread * torch.randn(n, dim).double()
    return Codes(mean, 0.3 * torch.randn(n, dim).double() - 1)


def test_codes_are_those_of_the_posterior():
    model, x = informative_vae(3, n=50)
    codes = encode_all(model, x, batch_size=7)
    truth = model.posterior.mean_and_log_std(model.encode(x))
    for found, expected in zip(codes, truth):
        verify.equal("", "codes", found, expected)
    assert codes.sample().shape == (50, 3)


def test_aggregated_posterior_and_index_entropy_by_brute_force():
    codes = random_codes(60, 3)
    z = codes.sample()
    pairs = torch.stack(
        [log_normal(z, m.expand_as(z), s.expand_as(z)) for m, s in zip(*codes)],
        1,
    )
    log_q, entropy = aggregated(z, codes)
    truth = pairs.logsumexp(1) - math.log(60)
    verify.equal("", "log q(z)", log_q, truth, 1000)
    weights = pairs.softmax(1)
    truth = -torch.xlogy(weights, weights).sum(1)
    verify.equal("", "H[q(i|z)]", entropy, truth, 1000)
    prior = AggregatedPosterior(*codes)
    verify.equal("", "prior", prior.log_prob(z), log_q)


def test_chunks_change_nothing():
    codes = random_codes(300, 4)
    z = codes.sample()
    n = 2 * len(codes.mean)  # both sides add up as many terms
    for whole, parts in zip(aggregated(z, codes), aggregated(z, codes, 0)):
        verify.equal("", "chunks", parts, whole, roundings=n)


def test_float32_codes_lose_nothing():
    codes = random_codes(300, 20)
    z = codes.sample()
    narrow = Codes(*(part.float() for part in codes))
    truth = aggregated(z.float().double(), Codes(*(p.double() for p in narrow)))
    for found, expected in zip(aggregated(z.float(), narrow), truth):
        assert found.dtype == torch.float64
        verify.equal("", "float32 codes", found, expected)


def exact_terms(codes):
    """Mutual information and marginal KL in one dimension, by quadrature."""
    z = torch.linspace(-40, 40, 20_001, dtype=torch.float64)[:, None]
    step = 80 / 20_000
    log_q, _ = aggregated(z, codes)
    log_p = -0.5 * (z[:, 0].square() + math.log(2 * math.pi))
    marginal = (log_q.exp() * (log_q - log_p)).sum() * step
    each = []
    for mean, log_std in zip(*codes):
        log_i = log_normal(z, mean.expand_as(z), log_std.expand_as(z))
        each.append((log_i.exp() * (log_i - log_q)).sum() * step)
    return torch.stack(each).mean().item(), marginal.item()


def test_terms_against_quadrature():
    model, x = informative_vae(1)
    found = elbo_surgery(model, x)
    information, marginal_kl = exact_terms(encode_all(model, x))
    verify.expectation("", "I", found.information, information)
    verify.expectation("", "I, other form", found.density_ratio, information)
    verify.expectation("", "marginal KL", found.marginal_kl, marginal_kl)
    verify.equal("", "sum", information + marginal_kl, found.kl.mean(), 20_001)
    assert information > 1 and marginal_kl > 1


@pytest.mark.parametrize("kind", ["normal", "mixture"])
def test_the_kl_is_information_plus_marginal_kl(kind):
    model, x = informative_vae(3)
    if kind == "mixture":
        model.prior = MixtureOfGaussians(3, 5).double()
    found = elbo_surgery(model, x, batch_size=150)
    verify.expectation("", "surgery", found.residual, 0.0)
    forms = found.information - found.density_ratio
    verify.expectation("", "two forms", forms, 0.0)
    verify.at_most("", "0 <= I", 0.0, found.information)
    verify.at_most("", "I <= log n", found.information, math.log(len(x)))


def check(model, x):
    found = elbo_surgery(model, x)
    verify.expectation("", "surgery", found.residual, 0.0)
    verify.expectation(
        "", "two forms", found.information - found.density_ratio, 0.0
    )


def swapped_kl(monkeypatch):
    """KL(p || q) where KL(q || p) belongs."""

    def swapped(self, h):
        mean, log_std = self.mean_and_log_std(h)
        return kl_to_standard_normal(-mean * (-log_std).exp(), -log_std)

    monkeypatch.setattr(DiagonalGaussian, "kl_to_standard_normal", swapped)


def missing_log_n(monkeypatch):
    def mutant(z, codes, memory):
        log_q, entropy = aggregated(z, codes, memory)
        return log_q + math.log(len(codes.mean)), entropy

    monkeypatch.setattr(surgery, "aggregated", mutant)


def without_own_component(monkeypatch):
    def mutant(z, codes, memory):
        n = len(codes.mean)
        log_q, entropy = aggregated(z, codes, memory)
        own = log_normal(z, *codes)
        others = (log_q + math.log(n)).exp() - own.exp()
        return (others.clamp(min=1e-300) / (n - 1)).log(), entropy

    monkeypatch.setattr(surgery, "aggregated", mutant)


def averaged_over_dimensions(monkeypatch):
    mean = property(lambda self: self.kl_groups.mean(1))
    monkeypatch.setattr(Parts, "kl", mean)


@pytest.mark.parametrize(
    "mutate",
    [
        swapped_kl,
        missing_log_n,
        without_own_component,
        averaged_over_dimensions,
    ],
)
def test_mutants_are_seen(monkeypatch, mutate):
    model, x = informative_vae(3)
    check(model, x)
    mutate(monkeypatch)
    with pytest.raises(verify.CheckFailed):
        check(model, x)


def test_summary_holds_each_term_with_its_standard_error():
    model, x = informative_vae(2)
    found = elbo_surgery(model, x)
    summary = found.summary()
    assert set(summary) == {*Surgery._fields, "elbo", "residual"}
    assert summary["information"] == verify.mean_and_se(found.information)


def test_standard_error_is_an_upper_bound_on_the_noise_of_z():
    model, x = informative_vae(2, n=100)
    runs = [elbo_surgery(model, x).summary() for _ in range(50)]
    for name in ("information", "density_ratio", "marginal_kl", "elbo"):
        means, errors = torch.tensor([run[name] for run in runs]).T
        # a standard deviation from 50 draws is known to 10 percent
        assert means.std() < errors.mean() * (1 + 5 / math.sqrt(2 * 49))


def test_one_batch_of_all_codes_is_exact():
    codes = random_codes(200, 3)
    torch.manual_seed(3)
    z = codes.sample()
    truth = (log_normal(z, *codes) - aggregated(z, codes)[0]).mean()
    for method in ("batch", "stratified"):
        torch.manual_seed(3)
        found, _ = minibatch_information(codes, 200, method)
        verify.equal("", method, found, truth, 1000)


def test_minibatch_estimates_saturate():
    """Codes so far apart that z tells i: the information is log n."""
    codes = random_codes(1000, 5, spread=100.0)
    entropy = aggregated(codes.sample(), codes)[1]
    verify.equal("", "I = log n", entropy, 0.0)
    for m in (10, 100):
        found, _ = minibatch_information(codes, m)
        verify.equal("", "log M", found, math.log(m), 1000)
        found, _ = minibatch_information(codes, m, "weighted")
        verify.equal("", "log n M", found, math.log(1000 * m), 1000)
        found, _ = minibatch_information(codes, m, "stratified")
        verify.equal("", "log n", found, math.log(1000), 1000)


def test_biases_have_the_known_signs():
    codes = random_codes(1024, 2)
    ratio = log_normal(z := codes.sample(), *codes) - aggregated(z, codes)[0]
    truth, noise = verify.mean_and_se(ratio)
    low, a = minibatch_information(codes, 16)
    high, b = minibatch_information(codes, 16, "stratified")
    assert low < truth - 5 * math.hypot(noise, a)
    assert high > truth + 5 * math.hypot(noise, b)


@pytest.mark.parametrize("size", [1, 51])
def test_senseless_batches_are_refused(size):
    with pytest.raises(ValueError, match="batch_size"):
        minibatch_information(random_codes(50, 2), size)


def test_other_posteriors_are_refused():
    model, x = informative_vae(2)
    other = VAE(model.encoder, model.decoder, _Shifted(2))
    with pytest.raises(ValueError, match="_Shifted"):
        elbo_surgery(other, x)


class _Shifted(Posterior):
    def __init__(self, dim):
        super().__init__()
        self.dim, self.inputs = dim, 2 * dim

    def rsample_and_log_prob(self, h):
        return h[:, : self.dim], h.new_zeros(len(h))

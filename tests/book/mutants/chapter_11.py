"""Mutants of the chapter on disentanglement."""

import math

import torch
from support import bugs

from dgm_course import disentanglement as dis
from dgm_course import vae
from dgm_course.disentanglement import (
    importances,
    information,
    tables,
    tcvae,
    votes,
)
from dgm_course.likelihoods import Bernoulli
from mutants import breaks, rewrite

power = rewrite(
    "toy.likelihood ** (1 / beta)",
    "toy.likelihood ** beta",
    "Theorem 11.1: a higher price: a smaller KL",
    "Theorem 11.1: and a worse reconstruction",
    "Proposition 11.3: here: more beta, less information",
    "Proposition 11.3: a KL of at most (R - R_0) / beta",
    "Proposition 11.3: beta = 10,000: nearly none",
)
no_prior = rewrite(
    "weights = toy.prior * toy",
    "weights = toy",
    "Theorem 11.1: beta = 0.5: best within its budget",
    "Theorem 11.1: a nat of KL saved costs beta or more",
)
another_silence = rewrite(
    "(1 - t) * toy.prior,",
    "(1 - t) * toy.prior.flip(0),",
    "Theorem 11.1: a share t of the code: KL at most t K",
)
another_code = rewrite(
    "t * best(2.0).posterior",
    "t * best(4.0).posterior",
    "Theorem 11.1: and R goes a share t of the way",
)


@breaks("Theorem 11.1: our lines, the library's loss")
def mean_over_pixels(monkeypatch):
    """The reconstruction is averaged over pixels, beta stays."""
    right = Bernoulli.total
    monkeypatch.setattr(
        Bernoulli,
        "total",
        lambda self, log_p, x: right(self, log_p, x) / x[0].numel(),
    )


@breaks("Theorem 11.1: our lines, the library's loss")
def price_of_the_wrong_term(monkeypatch):
    """beta multiplies the reconstruction."""

    def wrong(self, model, batch, step):
        parts = model.parts(batch)
        return parts.kl - self.beta * parts.reconstruction

    monkeypatch.setattr(vae.Objective, "__call__", wrong)


swap_kl = breaks(
    "Theorem 11.1: beta = 0.5: best within its budget",
    "Theorem 11.1: a nat of KL saved costs beta or more",
    "Theorem 11.2: beta = 0.5: L = beta (log Z - KL)",
    "Theorem 11.2: beta = 1: it is log p(x)",
)(bugs.swap_kl)


@breaks(
    "Theorem 11.2: the maximum falls with beta",
    "Theorem 11.2: beta = 4: any posterior, a bound",
)
def turn_the_kl(monkeypatch):
    """The KL has the wrong sign."""
    right = vae.DiscreteVAE.kl.fget
    monkeypatch.setattr(
        vae.DiscreteVAE, "kl", property(lambda toy: -right(toy))
    )


cooled = rewrite(
    "betas = (0.25, 0.5,",
    "betas = (0.25, 1.5,",
    "Theorem 11.2: beta = 1/2: never below log p(x)",
)
no_temperature = rewrite(
    "betas = (0.25, 0.5,",
    "betas = (0.25, 1.0,",
    "Theorem 11.2: beta = 1/2: not equal, so no bound",
)


@breaks(
    "Proposition 11.3: beta = 1: the three terms",
    "Proposition 11.3: the information is in the budget",
)
def all_is_told(monkeypatch):
    """The information is log n, whatever the posteriors."""
    log_n = torch.tensor(math.log(6)).double()
    monkeypatch.setattr(
        vae.DiscreteVAE, "information", property(lambda toy: log_n)
    )


one_unit_less = rewrite(
    "kl(q_1, p_1) + kl(q_z.sum(0), p_2)",
    "kl(q_1, p_1)",
    "Theorem 11.4: enumerated: the KL is the sum",
)
turned_table = rewrite(
    "(q * (q / p).log()).sum()",
    "(q * (p / q).log()).sum()",
    "Theorem 11.4: no term is negative",
)


@breaks("Theorem 11.4: Gaussian codes: the sum is the KL")
def no_entropy(monkeypatch):
    """Each code is taken to name its index for certain."""
    right = tcvae.aggregated

    def wrong(z, codes):
        log_q, entropy = right(z, codes)
        return log_q, 0 * entropy

    monkeypatch.setattr(tcvae, "aggregated", wrong)


@breaks(
    "Theorem 11.4: a grid of codes: TC = 0",
    "Theorem 11.4: turned by 45 degrees: the TC",
)
def joint_for_each_unit(monkeypatch):
    """Each unit gets a half of log q(z), as if all were independent, and
    a tenth of a nat."""
    right = tcvae.aggregated

    def wrong(z, codes):
        log_q, entropy = right(z, codes)
        return log_q + 0.1 * (z.shape[1] == 1), entropy

    monkeypatch.setattr(tcvae, "aggregated", wrong)


def weighted_by(weight):
    """Minibatch sampling with another weight of a code."""

    def wrong(z, codes, n):
        noise = (z[:, None] - codes.mean) * (-codes.log_std).exp()
        constant = 0.5 * math.log(2 * math.pi)
        pairs = -0.5 * noise.square() - codes.log_std - constant
        log_weight = -math.log(weight(n, len(z)))
        joint = pairs.sum(2).logsumexp(1) + log_weight
        return joint, (pairs.logsumexp(1) + log_weight).sum(1)

    return wrong


@breaks(
    "Proposition 11.5: at most q(z) / M",
    "Proposition 11.5: equal codes: TC read as (d - 1) log n",
)
def mean_of_the_batch(monkeypatch):
    """The batch is taken for the data: 1 / M."""
    monkeypatch.setattr(dis, "weighted_log_q", weighted_by(lambda n, m: m))


@breaks("Proposition 11.5: equal codes: log q(z), less log n")
def other_constant(monkeypatch):
    """log 2 + pi for log 2 pi: no difference sees it."""
    right = tcvae.weighted_log_q

    def wrong(z, codes, n):
        off = 0.5 * (math.log(2 * math.pi) - math.log(2 + math.pi))
        joint, units = right(z, codes, n)
        return joint + off * z.shape[1], units + off * z.shape[1]

    monkeypatch.setattr(dis, "weighted_log_q", wrong)


def objective(wrong):
    """A mutant of the objective: of its loss in training and of the ELBO."""

    def apply(monkeypatch):
        right = dis.TCObjective.__call__
        monkeypatch.setattr(
            dis.TCObjective,
            "__call__",
            lambda self, model, batch, step: wrong(
                right, self, model, batch, step
            ),
        )

    return apply


@breaks("Proposition 11.5: beta = 4: the loss of our VAE and 3 TC")
def beta_for_beta_minus_one(monkeypatch):
    """The total correlation is counted once more."""
    objective(
        lambda right, self, *given: right(
            dis.TCObjective(self.n, self.beta + 1), *given
        )
    )(monkeypatch)


@breaks("Proposition 11.5: in evaluation mode: minus the ELBO")
def elbo_for_its_negative(monkeypatch):
    """Maximized where it should be minimized."""
    objective(
        lambda right, self, model, *given: (
            right(self, model, *given) * (1 if model.training else -1)
        )
    )(monkeypatch)


@breaks("Proposition 11.5: which is another number")
def priced_in_evaluation(monkeypatch):
    """What is reported is the objective."""

    def wrong(right, self, model, batch, step):
        mode = model.training
        loss = right(self, model.train(), batch, step)
        model.train(mode)
        return loss

    objective(wrong)(monkeypatch)


@breaks("Proposition 11.5: at least its own code's share")
def batch_size_twice(monkeypatch):
    """1 / (n M^2)."""
    wrong = weighted_by(lambda n, m: n * m * m)
    monkeypatch.setattr(dis, "weighted_log_q", wrong)


def gaps_of(monkeypatch, wrong):
    monkeypatch.setattr(information, "mig_gaps", wrong)
    monkeypatch.setattr(dis, "mig_gaps", wrong)


@breaks("Proposition 11.6: two values for each level: 1")
def entropy_of_the_unit(monkeypatch):
    """The gap is a share of the entropy of the best unit."""

    def wrong(codes, factors, bins=20):
        told = dis.mutual_information(codes, factors, bins)
        best, unit = told.topk(2, dim=0)
        levels = torch.stack(
            [c.unique(return_inverse=True)[1] for c in codes.T], 1
        )
        return (best[0] - best[1]) / dis.factor_entropy(levels)[unit[0]]

    gaps_of(monkeypatch, wrong)


@breaks("Proposition 11.6: x and y turned by 45 degrees: 0")
def no_second_unit(monkeypatch):
    """The best unit alone."""

    def wrong(codes, factors, bins=20):
        told = dis.mutual_information(codes, factors, bins)
        return told.amax(0) / dis.factor_entropy(factors)

    gaps_of(monkeypatch, wrong)


@breaks(
    "Proposition 11.6: our ten lines, the library's MIG",
    "Proposition 11.6: ideal: 1",
    "Proposition 11.6: permuted: 1",
    "Proposition 11.6: renamed values: 1",
)
def two_bins(monkeypatch):
    """The bins are too wide to tell the levels."""
    right = information.mutual_information
    monkeypatch.setattr(
        information, "mutual_information", lambda z, v, bins=20: right(z, v, 2)
    )


best_alone = rewrite(
    "gaps.append((best - second) / entropy(v))",
    "gaps.append(best / entropy(v))",
    "Proposition 11.6: our ten lines, the library's MIG",
)
entropy_of_the_best = rewrite(
    "gaps.append((best - second) / entropy(v))",
    "gaps.append((best - second) / entropy(codes.T[told.index(max(told))]))",
    "Proposition 11.6: our ten lines, the library's MIG",
)
samples = rewrite(
    "dis.mig(noisy.mean,",
    "dis.mig(noisy.sample(),",
    "Proposition 11.6: a noisy posterior, its means: 1",
)
means = rewrite(
    "dis.mig(noisy.sample(),",
    "dis.mig(noisy.mean,",
    "Proposition 11.6: a noisy posterior, a sample: below 1",
)


@breaks("Proposition 11.6: a dead unit knows nothing: 4 of 5")
def dead_units_count(monkeypatch):
    """A unit that moves by a thousandth is binned like any other."""
    monkeypatch.setattr(
        tables, "alive", lambda codes: torch.ones_like(codes[0]).bool()
    )


@breaks(
    "Proposition 11.6: beta-VAE score, permuted: 1",
    "Proposition 11.6: FactorVAE score, permuted: 1",
)
def nothing_shared(monkeypatch):
    """Pairs and batches share no factor."""

    def wrong(level, rows, draw):
        return torch.randint(len(level), rows.shape, generator=draw)

    monkeypatch.setattr(votes, "_partners", wrong)


@breaks("Proposition 11.6: FactorVAE score: any scale of a unit")
def variance_as_it_is(monkeypatch):
    """The FactorVAE score forgets the variance over all pictures."""
    right = torch.Tensor.var

    def wrong(z, dim, **options):
        over_all = z.ndim == 2 and not options
        return torch.ones_like(z[0]) if over_all else right(z, dim, **options)

    monkeypatch.setattr(torch.Tensor, "var", wrong)


@breaks(
    "Proposition 11.6: beta-VAE score, unrelated: not near",
    "Proposition 11.6: FactorVAE score, unrelated: not near",
    "Proposition 11.6: DCI, rotated: disentanglement below 1",
    "Theorem 11.7: and so does the MIG of a rotated code",
)
def no_mixing(monkeypatch):
    """The codes that should be bad are ideal."""
    for name in ("unrelated", "rotated"):
        monkeypatch.setattr(dis, name, dis.ideal)


@breaks("Proposition 11.6: DCI, permuted: both 1")
def entropy_itself(monkeypatch):
    """The entropy of the importances, not 1 minus it."""
    right = importances.concentration
    monkeypatch.setattr(
        importances, "concentration", lambda table, axis: 1 - right(table, axis)
    )


two_turns = rewrite(
    "turns % 39",
    "turns",
    "Proposition 11.6: 40 turns, two of them equal: the gap",
)
negative_entropy = rewrite(
    "(entropy(v, x) - entropy(x)) / entropy(v)",
    "(entropy(x) - entropy(v, x)) / entropy(v)",
    "Proposition 11.6: the ceiling of all hearts is the same",
)

turned_back = rewrite(
    "U @ last.weight[:2]",
    "U.T @ last.weight[:2]",
    "Theorem 11.7: log q(z|x) is the same",
    "Theorem 11.7: log q(z), so I and marginal KL, too",
)
wrong_decoder = rewrite(
    "[0].weight @ U.T)",
    "[0].weight @ U)",
    "Theorem 11.7: log p(x|z) is the same",
)
no_rotation = rewrite(
    "[[c, -s], [s, c]]",
    "[[c, -s], [s, 2 * c]]",
    "Theorem 11.7: log p(z) is the same",
)
stand_still = rewrite(
    "[[c, -s], [s, c]]",
    "[[1, 0], [0, 1]]",
    "Theorem 11.7: but the codes differ",
)

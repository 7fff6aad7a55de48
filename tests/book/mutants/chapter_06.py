"""Mutants of the chapter on WaveNet and Parallel WaveNet."""

from types import SimpleNamespace

import torch
import torch.nn.functional as F

from dgm_course import flows, wavenet
from dgm_course.likelihoods import DiscretizedLogistics, logistics, mu_law
from dgm_course.wavenet import network
from mutants import breaks, rewrite

turn_the_taps_round = rewrite(
    "back = (taps - 1 - k) * d",
    "back = k * d",
    "Proposition 6.1: our convolution: the library's",
    "Theorem 6.6: our queues: the convolutions",
)


@breaks(
    "Proposition 6.1: 2 taps: no later input is seen",
    "Proposition 6.5: x_t is not among what x_t is given",
    "Proposition 6.5: 243 sounds: their probabilities",
)
def look_ahead(monkeypatch):
    """A convolution sees one sample ahead."""

    def wrong(self, x):
        padded = F.pad(x, (self.reach - 1, 1))
        return torch.nn.Conv1d.forward(self, padded)

    monkeypatch.setattr(wavenet.CausalConv, "forward", wrong)


@breaks(
    "Proposition 6.1: 2 taps on 1, 2, 4, 8 see 16",
)
def forget_the_dilation(monkeypatch):
    """All layers have dilation 1."""
    right = network.Block.__init__

    def wrong(self, channels, skips, size, dilation, last=False):
        right(self, channels, skips, size, 1, last)

    monkeypatch.setattr(network.Block, "__init__", wrong)


@breaks("Proposition 6.1: 2 taps: (6.2)")
def count_all_taps(monkeypatch):
    """The formula has k in the place of k - 1."""
    monkeypatch.setattr(
        wavenet, "receptive_field", lambda d, size=2: 1 + size * sum(d)
    )


@breaks("Corollary 6.2: from R - 1 on, the whole")
def claim_a_short_field(monkeypatch):
    """The network says that it sees one sample less."""
    right = network.receptive_field
    monkeypatch.setattr(
        network, "receptive_field", lambda d, size: right(d, size) - 1
    )


@breaks("Corollary 6.2: and not one output earlier")
def claim_a_long_field(monkeypatch):
    """The network says that it sees one sample more."""
    right = network.receptive_field
    monkeypatch.setattr(
        network, "receptive_field", lambda d, size: right(d, size) + 1
    )


@breaks("Corollary 6.2: the library leaves the others out")
def leave_the_last_out(monkeypatch):
    """What is left out stands at the right end."""
    right = wavenet.WaveNet.forward

    def wrong(self, x, local=None, label=None, context=0):
        whole = right(self, x, local, label)
        return whole[..., : whole.shape[-1] - context]

    monkeypatch.setattr(wavenet.WaveNet, "forward", wrong)


@breaks(
    "Proposition 6.3: (6.5), over the whole range",
    "Proposition 6.3: -1 and 1 are the ends, 0 and 255",
)
def expect_sound_from_0_to_1(monkeypatch):
    """Mu-law takes its range for [0, 1]."""
    right = mu_law.encode
    monkeypatch.setattr(mu_law, "encode", lambda x: right((x + 1) / 2))


@breaks(
    "Proposition 6.3: each level decodes to itself",
    "Proposition 6.3: soft sound: 7 times finer than uniform",
)
def decode_evenly(monkeypatch):
    """Levels are decoded as if they were evenly spaced."""
    monkeypatch.setattr(
        mu_law, "decode", lambda code, dtype: 2 * code.to(dtype) / 255 - 1
    )


@breaks("Proposition 6.4: 65536 levels: the sum is one")
def open_the_edge_bins(monkeypatch):
    """The first and the last bin end where the range ends."""

    def wrong(x, mean, log_scale, levels):
        top, per_scale = levels - 1, (-log_scale).exp()
        u = ((2 * x.to(mean.dtype) - top) / top - mean) * per_scale
        half = per_scale / top
        return (torch.sigmoid(u + half) - torch.sigmoid(u - half)).log()

    monkeypatch.setattr(logistics, "log_mass", wrong)


forget_the_upper_end = rewrite(
    "ends[0], ends[-1] = -math.inf, math.inf",
    "ends[0] = -math.inf",
    "Proposition 6.4: 65536 levels: our bins",
)
close_them_all = rewrite(
    "if closed:",
    "if True:",
    "Proposition 6.4: with open edge bins it is not",
)


@breaks(
    "Proposition 6.5: 243 sounds: their probabilities",
    "Proposition 6.5: x_t is not among what x_t is given",
)
def show_the_answer(monkeypatch):
    """The teacher is not fed late."""

    def wrong(self, y, local=None, label=None, context=0):
        return self.net(y, local, label, context)

    monkeypatch.setattr(wavenet.Teacher, "conditionals", wrong)


@breaks("Proposition 6.5: the sample before it is")
def feed_two_late(monkeypatch):
    """The teacher is fed two samples late."""

    def wrong(self, y, local=None, label=None, context=0):
        return self.net(F.pad(y, (2, -2)), local, label, context)

    monkeypatch.setattr(wavenet.Teacher, "conditionals", wrong)


feed_late_again = rewrite(
    "in_time = net(three.scaled(every))",
    "in_time = three.conditionals(three.scaled(every))",
    "Proposition 6.5: fed in time they sum to something else",
)
queue_one_late = rewrite(
    "deque([zeros] * d)",
    "deque([zeros] * (d + 1))",
    "Theorem 6.6: our queues: the convolutions",
)


@breaks(
    "Theorem 6.6: 2 taps: queue = naive, 160 samples",
)
def stand_in_line_too_long(monkeypatch):
    """The queues of the library are one step late."""
    right = wavenet.Stream.__init__

    def wrong(self, net, n):
        right(self, net, n)
        for queue in self.queues:
            queue.appendleft(queue[0])

    monkeypatch.setattr(wavenet.Stream, "__init__", wrong)


@breaks("Theorem 6.6: 2 taps: R - 1 vectors are kept")
def keep_one_too_many(monkeypatch):
    """Each queue keeps a vector that no filter needs."""
    right = wavenet.Stream.__init__

    def wrong(self, net, n):
        right(self, net, n)
        self.taps = [range(t.start + 1, t.stop + 1, t.step) for t in self.taps]
        for queue in self.queues:
            queue.appendleft(queue[0])

    monkeypatch.setattr(wavenet.Stream, "__init__", wrong)


subtract_the_log_scale = rewrite(
    "mean, s = mean * log_scale.exp() + shift, s + log_scale",
    "mean, s = mean * log_scale.exp() + shift, s - log_scale",
    "Proposition 6.7: our student: the library's log-scales",
)


@breaks(
    "Proposition 6.7: our student: the library's means",
    "Proposition 6.7: x is linear in the last noise",
)
def halve_the_mean(monkeypatch):
    """A student reports half of its mean."""
    right = wavenet.Student.conditionals

    def wrong(self, z, context=None):
        x, mean, s = right(self, z, context)
        return wavenet.Conditionals(x, 0.5 * mean, s)

    monkeypatch.setattr(wavenet.Student, "conditionals", wrong)


@breaks(
    "Proposition 6.7: our student: the library's x",
    "Proposition 6.7: mean and scale: earlier noise alone",
)
def see_its_own_noise(monkeypatch):
    """The networks of a student are not fed late."""

    def wrong(self, x, context=None):
        return self.net(x[:, None], context).movedim(1, 0)

    monkeypatch.setattr(wavenet.CausalMAF, "parameters_at", wrong)


@breaks(
    "Proposition 6.7: dx/dz has the scales on its diagonal",
    "Proposition 6.7: and ladj is minus the sum of s",
    "Theorem 6.9: H(p_s) is the mean of its terms",
)
def halve_the_log_scale(monkeypatch):
    """A student reports half of its log-scale."""
    right = wavenet.Student.conditionals

    def wrong(self, z, context=None):
        x, mean, s = right(self, z, context)
        return wavenet.Conditionals(x, mean, 0.5 * s)

    monkeypatch.setattr(wavenet.Student, "conditionals", wrong)


@breaks("Proposition 6.7: the way back finds the noise")
def invert_halfway(monkeypatch):
    """The search for the noise has its last step wrong."""
    right = wavenet.CausalMAF.inverse

    def wrong(self, z, context=None):
        x, ladj = right(self, z, context)
        return torch.cat([x[:, :-1], z[:, -1:]], 1), ladj

    monkeypatch.setattr(wavenet.CausalMAF, "inverse", wrong)


add_the_scale = rewrite(
    "log_p = -u - 2 * F.softplus(-u) - s\n        return -log_p.exp()",
    "log_p = -u - 2 * F.softplus(-u) + s\n        return -log_p.exp()",
    "Theorem 6.8: s = -1.0: the entropy is s + 2",
)


@breaks("Theorem 6.8: (6.9), for a student of two steps")
def forget_a_softplus(monkeypatch):
    """The logistic density has one softplus in the place of two."""
    monkeypatch.setattr(
        flows.StandardLogistic,
        "log_prob",
        lambda self, z: -(z + F.softplus(-z)).sum(1),
    )


coarse_grid = rewrite(
    "points=240)",
    "points=6)",
    "Theorem 6.9: the integral is known to 1e-4",
)


@breaks("Theorem 6.9: the estimate is the integral")
def add_the_entropy(monkeypatch):
    """The entropy term has the wrong sign."""
    wrong = property(lambda self: (self.cross + self.entropy).mean(1))
    monkeypatch.setattr(wavenet.Divergence, "kl", wrong)


@breaks(
    "Theorem 6.9: the estimate is the integral",
    "Theorem 6.9: H(p_s) is the mean of its terms",
)
def forget_the_two(monkeypatch):
    """The entropy of a standard logistic is taken for 0."""
    right = wavenet.divergence

    def wrong(*arguments, **options):
        found = right(*arguments, **options)
        return found._replace(entropy=found.entropy - 2)

    monkeypatch.setattr(wavenet, "divergence", wrong)


@breaks("Theorem 6.9: its derivative is that of KL")
def cut_the_path(monkeypatch):
    """No gradient passes through what the teacher is given."""
    right = wavenet.Teacher.conditionals

    def wrong(self, y, *known, **options):
        return right(self, y.detach(), *known, **options)

    monkeypatch.setattr(wavenet.Teacher, "conditionals", wrong)


keep_the_path = rewrite(
    "return super().conditionals(y.detach(), *known, **options)",
    "return super().conditionals(y, *known, **options)",
    "Theorem 6.9: not with the teacher's input detached",
)


@breaks("Theorem 6.9: a step leaves the teacher as it was")
def let_the_teacher_learn(monkeypatch):
    """The teacher is a part of what is trained."""

    def wrong(self, student, teacher):
        torch.nn.Module.__init__(self)
        self.student, self.learning = student, teacher
        self._teacher = SimpleNamespace(network=teacher)

    monkeypatch.setattr(wavenet.Distillation, "__init__", wrong)


def shift_the_density(by):
    """The log-density is too large by a constant."""
    right = DiscretizedLogistics.log_density

    def apply(monkeypatch):
        monkeypatch.setattr(
            DiscretizedLogistics,
            "log_density",
            lambda self, y, parameters: right(self, y, parameters) + by,
        )

    return apply


too_dense = breaks(
    "Proposition 6.10: 256 levels: at least -h^2/12",
)(shift_the_density(0.05))
too_thin = breaks(
    "Proposition 6.10: 256 levels: at most h^2/6",
)(shift_the_density(-0.05))

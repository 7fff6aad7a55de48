"""Probability density distillation: a student that learns from a density.

Van den Oord et al., "Parallel WaveNet", 2017, section 3 and 4. The student
draws a sound, the teacher judges it; both are run once, and in parallel.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from ..likelihoods import DiscretizedLogistics
from ..nn import Borrowed
from . import spectra
from .student import Student
from .teacher import Teacher


class Divergence(NamedTuple):
    """KL(student || teacher) = cross - entropy, sample by sample, in nats.

    Attributes:
        cross: Estimate of each term of H(P_s, P_t), (B, T - context).
        entropy: Each term of H(P_s), given z_<t, (B, T - context).
        x: The sounds, (B, T).
    """

    cross: Tensor
    entropy: Tensor
    x: Tensor

    @property
    def kl(self) -> Tensor:
        """The estimate of KL per sample of sound, (B,)."""
        return (self.cross - self.entropy).mean(1)


def divergence(
    student: Student,
    teacher: Teacher,
    z: Tensor,
    local: Tensor | None = None,
    draws: int = 4,
    context: int = 0,
) -> Divergence:
    """Compare the student's conditionals with the teacher's.

    The entropy of a logistic of scale e^s is s + 2 (eq. 5). For the cross
    entropy the teacher sees the student's x_<t, and is asked for the density
    of several x_t that are drawn from the student's p(x_t | z_<t) (eq. 6).
    The gradient flows through both, and through x_<t.

    Densities are compared with densities: the teacher's is that of its
    mixture of logistics, before it is integrated over bins.

    Args:
        student: Draws the sounds.
        teacher: Judges them; freeze it before training.
        z: Standard logistic noise, (B, T).
        local: Condition of both, (B, local, T').
        draws: Number of x_t for each x_<t.
        context: Samples at the left that are drawn, and not counted.

    Raises:
        TypeError: If the teacher has probabilities in the place of densities.
    """
    if not isinstance(teacher.likelihood, DiscretizedLogistics):
        raise TypeError(
            f"the teacher has a {type(teacher.likelihood).__name__} "
            "likelihood, which is no density; distil one with "
            "DiscretizedLogistics"
        )
    x, mean, s = student.conditionals(z, local)
    parameters = teacher.conditionals(x[:, None], local, context=context)
    mean, s = mean[:, None, context:], s[:, None, context:]
    noise = student.noise(len(z) * draws, mean.shape[-1])
    drawn = mean + s.exp() * noise.view(len(z), draws, -1)
    log_p = teacher.likelihood.log_density(drawn, parameters)
    return Divergence(-log_p.mean(1), s[:, 0] + 2, x)


def power_distance(x: Tensor, y: Tensor, bands: int = 20) -> Tensor:
    """Squared difference of the mean power in each band, (B,).

    Section 4.1, with two changes: bands of equal width in mel, and logarithms
    of the powers, so that quiet and loud sounds weigh the same.

    Args:
        x: Sounds (B, T), T a multiple of 128.
        y: Sounds to compare with, (B, T).
        bands: Number of bands.
    """
    means = [spectra.power(sound).mean(2, keepdim=True) for sound in (x, y)]
    ours, theirs = (spectra.in_bands(mean, bands) for mean in means)
    return (ours - theirs).square().mean((1, 2))


class Distillation(nn.Module):
    """A student with the teacher that it learns from.

    The teacher is used, not owned: it is neither trained nor stored.

    Args:
        student: Trained.
        teacher: Frozen here.
    """

    def __init__(self, student: Student, teacher: Teacher) -> None:
        super().__init__()
        self.student = student
        self._teacher = Borrowed(teacher)

    @property
    def teacher(self) -> Teacher:
        """The teacher."""
        return self._teacher.network

    def divergence(
        self,
        n: int,
        length: int,
        local: Tensor | None = None,
        draws: int = 4,
        context: int = 0,
    ) -> Divergence:
        """Draw n sounds (n, length) and compare; see :func:`divergence`."""
        z = self.student.noise(n, length)
        return divergence(self.student, self.teacher, z, local, draws, context)

"""All flows by name, each with the shape and the domain of its data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from dgm_course import flows
from dgm_course.flows import (
    IAF,
    MAF,
    AdditiveCoupling,
    Affine,
    AffineCoupling,
    Chain,
    Channels,
    Checkerboard,
    Compose,
    Coupling,
    Flatten,
    GaussianMixture,
    Halves,
    Inverse,
    LogisticMixture,
    MultiScale,
    PackedCheckerboard,
    ScaleShift,
    Shift,
    Squeeze,
    maf,
)
from dgm_course.nn import MLP, ConvNet, GatedNet
from dgm_course.reversible import (
    HalfStep,
    IRevNet,
    ReversibleBlock,
    ReversibleSequence,
)
from dgm_course.wavenet import CausalMAF, Student, WaveNet

from . import randomize


def both_tails(*shape):
    """Data on both sides of 0, as far out as a standardized table has any."""
    return 2 * torch.randn(*shape, dtype=torch.float64)


def inside(*shape, levels=4):
    """Data between 0 and the number of levels, close to both."""
    return levels * (0.02 + 0.96 * torch.rand(*shape, dtype=torch.float64))


def counts(dim=5, levels=4):
    """A table of positive frequencies, one row for each column."""
    seeded = torch.Generator().manual_seed(0)
    return 0.1 + torch.rand(dim, levels, generator=seeded) ** 4


@dataclass(frozen=True)
class Case:
    """How to build a flow and draw what it takes."""

    build: Callable[[], flows.Flow]
    context: tuple[int, ...] = ()
    shape: tuple[int, ...] = (5,)
    data: Callable[..., torch.Tensor] = both_tails

    def draw(self, n=7):
        """A random flow in float64, n rows of data, and their context."""
        flow = randomize(self.build()).double()
        x = self.data(n, *self.shape)
        return flow, x, both_tails(n, *self.context) if self.context else None


def on_halves(conditional, context=0):
    halves = Halves(5, swap=True)
    outputs = conditional.outputs * halves.changed
    net = MLP(halves.kept, (16,), outputs, context)
    return Coupling(halves, net, conditional)


def on_channels(conditional, channels=2, context=0, swap=False):
    changed = channels // 2 if not swap else channels - channels // 2
    net = ConvNet(channels - changed, 6, conditional.outputs * changed, context)
    return Coupling(Channels(swap), net, conditional)


def on_board(conditional, channels=2, context=0, swap=False):
    net = ConvNet(channels, 6, conditional.outputs * channels, context)
    return Coupling(Checkerboard(swap), net, conditional)


def on_packed(conditional, channels=2, context=0, swap=False, heads=2):
    outputs = conditional.outputs * channels
    net = GatedNet(channels, 4, outputs, 1, 2 * context, heads)
    return Coupling(PackedCheckerboard(swap), net, conditional)


def two_levels(context=0):
    """As RealNVP: a context is folded once more behind each Squeeze."""
    first = Compose(
        on_board(ScaleShift(), 2, context),
        on_packed(Shift(), 2, context, swap=True),
        Squeeze(),
        on_channels(Affine(), 8, 4 * context),
    )
    second = Compose(Squeeze(), on_channels(Affine(), 16, 16 * context))
    return MultiScale([first, second], PICTURE)


def dequantizer():
    """Noise to the unit cube, given a picture; its forward comes back."""
    return Compose(
        flows.Logit(levels=1, alpha=0),
        Inverse(on_packed(Chain(LogisticMixture(2), ScaleShift()), 2, 3)),
        Inverse(on_board(ScaleShift(), 2, 3, swap=True)),
        Flatten(*PICTURE),
    )


def reversible():
    """Blocks and a half step; Jacobians are taken with stored activations."""
    blocks = [ReversibleBlock(MLP(3, (8,), 3), MLP(3, (8,), 3)) for _ in "12"]
    return ReversibleSequence(*blocks, HalfStep(MLP(3, (8,), 3)), store=True)


def averages():
    """Batch normalization that has seen batches."""
    layer = flows.BatchNorm(2)
    layer.mean += torch.tensor([0.5, -2.0])
    layer.variance *= torch.tensor([0.1, 3.0])
    return layer.eval()


def flowpp(components=2):
    """All three kinds of couplings."""
    flow = flows.flowpp(
        PICTURE, (2, 1, 1), 4, 1, components, 2, preprocess=Compose()
    ).flow
    return flow.eval()


def small_wavenet(local=0):
    """A network of a flow of sounds, that sees eleven samples."""
    return WaveNet(1, 2, 4, 3, (1, 4), size=3, local=local)


PICTURE = (2, 4, 4)

FLOWS = {
    "additive": Case(lambda: AdditiveCoupling(5, (16,))),
    "additive, swapped, context": Case(
        lambda: AdditiveCoupling(5, (16,), swap=True, context=3), (3,)
    ),
    "affine": Case(lambda: AffineCoupling(5, (16,))),
    "affine, swapped, context": Case(
        lambda: AffineCoupling(5, (16,), swap=True, context=3), (3,)
    ),
    "elementwise": Case(lambda: flows.ElementwiseAffine(5)),
    "triangular": Case(lambda: flows.TriangularAffine(5)),
    "permutation": Case(lambda: flows.Permutation.random(5, seed=1)),
    "reverse": Case(lambda: flows.Permutation.reverse(5)),
    "even first": Case(lambda: flows.Permutation.even_first(5)),
    "logit": Case(lambda: flows.Logit(levels=4), data=inside),
    "histogram": Case(lambda: flows.Histogram(counts()), data=inside),
    "inverse of affine": Case(lambda: Inverse(AffineCoupling(5, (16,)))),
    "composition": Case(
        lambda: Compose(
            flows.ElementwiseAffine(5),
            AffineCoupling(5, (16,)),
            flows.Permutation.reverse(5),
            AffineCoupling(5, (16,), swap=True),
        )
    ),
    "nice": Case(lambda: flows.nice(5, hidden=(16,)).flow),
    "realnvp": Case(
        lambda: flows.realnvp(5, hidden=(16,), context=2, shuffle=True).flow,
        (2,),
    ),
    "maf": Case(lambda: MAF(5, (16, 16))),
    "maf, fewer units than columns": Case(lambda: MAF(5, (3,))),
    "maf, no hidden layer": Case(lambda: MAF(5, ())),
    "maf, residual, context": Case(
        lambda: MAF(5, (16, 16), 2, residual=True), (2,)
    ),
    "maf, mixture": Case(lambda: MAF(5, (16,), conditional=GaussianMixture(3))),
    "iaf, context": Case(lambda: IAF(5, (16,), context=2), (2,)),
    "mafs, reversed": Case(lambda: maf(5, 3, (16,)).flow),
    "mafs, shuffled": Case(lambda: maf(5, 3, (16,), 2, "random").flow, (2,)),
    "coupling as iaf": Case(
        lambda: flows.coupling_as_iaf(AffineCoupling(5, (16,)))
    ),
    "shift": Case(lambda: on_halves(Shift())),
    "mixture of Gaussians": Case(lambda: on_halves(GaussianMixture(3))),
    "mixture of logistics": Case(lambda: on_halves(LogisticMixture(3, 9.0))),
    "chain, context": Case(
        lambda: on_halves(Chain(LogisticMixture(2), ScaleShift()), 3), (3,)
    ),
    "squeeze": Case(Squeeze, shape=PICTURE),
    "flatten": Case(lambda: Flatten(*PICTURE), shape=PICTURE),
    "channels": Case(lambda: on_channels(Affine()), shape=PICTURE),
    "channels, odd, swapped, vector": Case(
        lambda: on_channels(Affine(), 3, 2, swap=True), (2,), (3, 2, 4)
    ),
    "checkerboard": Case(lambda: on_board(ScaleShift()), shape=PICTURE),
    "checkerboard, swapped, picture": Case(
        lambda: on_board(Affine(), 2, 3, swap=True), (3, 4, 4), PICTURE
    ),
    "packed, attention": Case(
        lambda: on_packed(LogisticMixture(2)), shape=PICTURE
    ),
    "packed, swapped, picture": Case(
        lambda: on_packed(Shift(), 2, 3, swap=True, heads=0),
        (3, 4, 4),
        PICTURE,
    ),
    "two levels": Case(two_levels, shape=PICTURE),
    "two levels, picture": Case(lambda: two_levels(3), (3, 4, 4), PICTURE),
    "reversible": Case(reversible, shape=(6,)),
    "i-RevNet": Case(
        lambda: IRevNet(PICTURE, (1, 2), (16, 16), store=True).flow().eval(),
        shape=PICTURE,
    ),
    "actnorm": Case(lambda: flows.ActNorm(2).eval(), shape=PICTURE),
    "actnorm, vectors": Case(lambda: flows.ActNorm(5).eval()),
    "1x1 convolution": Case(lambda: flows.InvertibleConv(2), shape=PICTURE),
    "rotation of vectors": Case(lambda: flows.InvertibleConv(5)),
    "batch norm": Case(averages, shape=PICTURE),
    "glow": Case(
        lambda: flows.glow(PICTURE, (1, 1), 4, Compose()).flow.eval(),
        shape=PICTURE,
    ),
    "realnvp of pictures": Case(
        lambda: flows.realnvp_pictures(PICTURE, 2, 2, 1, Compose()).flow.eval(),
        shape=PICTURE,
    ),
    "flow++": Case(flowpp, shape=PICTURE),
    "flow++, affine": Case(lambda: flowpp(components=0), shape=PICTURE),
    "tarflow": Case(
        lambda: (
            flows.tarflow(PICTURE, 2, 3, 8, 2, 2, preprocess=Compose()).flow
        ),
        shape=PICTURE,
    ),
    "patches, reversed, context": Case(
        lambda: flows.PatchMAF((1, 4, 2), 1, 4, 1, 2, True, 3), (3,), (1, 4, 2)
    ),
    "wavenet": Case(lambda: CausalMAF(small_wavenet()), shape=(6,)),
    "wavenet, context": Case(lambda: CausalMAF(small_wavenet(2)), (2, 3), (6,)),
    "student": Case(
        lambda: Student([small_wavenet(2) for _ in "12"]).flow, (2, 3), (6,)
    ),
    "dequantizer": Case(
        dequantizer, (3, 4, 4), PICTURE, lambda *s: inside(*s, levels=1)
    ),
}

# noise to data only; data() draws noise
ONE_WAY = {
    "planar": Case(lambda: flows.Planar(5)),
    "planar, one column": Case(lambda: flows.Planar(1), shape=(1,)),
    "planar, context": Case(lambda: flows.Planar(5, 3), (3,)),
    "planar, six of them": Case(
        lambda: Compose(*[flows.Planar(5, 3) for _ in range(6)]), (3,)
    ),
    "sylvester": Case(lambda: flows.Sylvester(5, 5)),
    "sylvester, few directions, context": Case(
        lambda: flows.Sylvester(5, 2, 3), (3,)
    ),
    "sylvester, one reflection": Case(
        lambda: flows.Sylvester(5, 3, reflections=1)
    ),
}

"""Mutants of the chapter on reversible networks."""

from contextlib import contextmanager
from functools import partial

import torch
from torch.func import functional_call

from dgm_course import flows, reversible
from dgm_course.reversible import sequence
from dgm_course.reversible.replay import Replay
from mutants import breaks, rewrite


@breaks("Proposition 3.1: reversible: nothing, a block")
def store_all_the_same(monkeypatch):
    """A reversible sequence that is plain autograd."""
    make = reversible.ReversibleSequence.__init__

    def wrong(self, *blocks, store=False):
        make(self, *blocks, store=True)

    monkeypatch.setattr(reversible.ReversibleSequence, "__init__", wrong)


forget_the_hidden_layer = rewrite(
    "s = 2 * 64 * (16 + 48) * x.itemsize",
    "s = 2 * 64 * 16 * x.itemsize",
    "Proposition 3.1: everything stored: s, a block",
)
store_nothing_at_all = rewrite(
    "segments(blocks, x, 1), a),",
    "reversible(blocks, x), a),",
    "Proposition 3.1: each input stored: a, a block",
)
store_two_inputs_a_segment = rewrite(
    "(64 / k - 64 / best) * a + (k - best) * s",
    "2 * (64 / k - 64 / best) * a + (k - best) * s",
    "Proposition 3.1: L / k times a, and k times s",
)
swap_a_and_s = rewrite(
    "float(min(peaks, key=peaks.get)), math.sqrt(64 * a / s)",
    "float(min(peaks, key=peaks.get)), math.sqrt(64 * s / a)",
    "Proposition 3.1: k = sqrt(L a / s) is the best",
)


@breaks("Proposition 3.1: RevNet: more blocks, not a byte more")
def store_every_block_of_revnet(monkeypatch):
    """RevNet's stages keep their activations."""
    sequences = reversible.RevNet._sequences

    def wrong(self, x):
        for part in sequences(self):
            part.store = True
        return forward(self, x)

    forward = reversible.RevNet.forward
    monkeypatch.setattr(reversible.RevNet, "forward", wrong)


@breaks("Proposition 3.1: ResNet: four activations a block")
def forget_in_resnet(monkeypatch):
    """ResNet's forward pass is not recorded: it leaves its output alone."""
    monkeypatch.setattr(
        reversible.ResNet, "forward", torch.no_grad()(reversible.ResNet.forward)
    )


@breaks(
    "Theorem 3.2: its inverse: x2 = y2 - G(y1) first",
)
def swap_f_and_g(monkeypatch):
    """The slide's inverse: F where G was added."""

    def wrong(self, z, context=None):
        y1, y2 = sequence.halves(z)
        x2 = y2 - self.f.net(y1)
        return sequence.whole((y1 - self.g.net(x2), x2))

    monkeypatch.setattr(reversible.ReversibleBlock, "inverse", wrong)


@breaks(
    "Theorem 3.2: the block is (3.2)",
    "Theorem 3.2: by hand: x2",
)
def add_g_before_f(monkeypatch):
    """The block computes x1 + G(x2) first."""

    def wrong(self, x, context=None):
        pair = self.g.advance(*sequence.halves(x))
        return sequence.whole(self.f.advance(*pair))

    monkeypatch.setattr(reversible.ReversibleBlock, "forward", wrong)


@breaks("Theorem 3.2: ladj = log|det J| = 0")
def count_the_channels(monkeypatch):
    """A log-determinant that is not 0."""

    def wrong(pair):
        x = torch.cat(pair, dim=1)
        return x, x.new_ones(len(x))

    monkeypatch.setattr(sequence, "whole", wrong)


slide_that_is_right = rewrite(
    "(y2 - F(y1) - x2)",
    "(y2 - G(y1) - x2)",
    "Theorem 3.2: the slide's x2 = y2 - F(y1) is not",
)
run_f_back_first = rewrite(
    "my_backward(block.f.net, block.g.net, y, grad_y)",
    "my_backward(block.g.net, block.f.net, y, grad_y)",
    "Theorem 3.3: weights: ten lines = autograd",
    "Theorem 3.3: x and its gradient, likewise",
)
forget_the_total_derivative = rewrite(
    "g1 = g1 + y1.grad",
    "g1 = g1 + 0",
    "Theorem 3.3: weights: ten lines = autograd",
)
forget_the_gradient_through_f = rewrite(
    "torch.cat([g1, g2 + x2.grad], 1)",
    "torch.cat([g1, g2], 1)",
    "Theorem 3.3: x and its gradient, likewise",
)


@breaks(
    "Theorem 3.3: weights: the library = autograd",
    "Theorem 3.3: x's gradient, likewise",
)
def rebuild_with_the_wrong_sign(monkeypatch):
    """The backward pass adds once more what was added."""
    backward = sequence._Forgetful.backward

    def wrong(ctx, gradient):
        step = ctx.step
        if not ctx.last:
            b, c = ctx.tape.pop()
            ctx.tape.append((b, c + step.down(b)))
        return backward(ctx, gradient)

    monkeypatch.setattr(sequence._Forgetful, "backward", staticmethod(wrong))


no_gradient_at_all = rewrite(
    "weight = torch.tensor([1.0, -2.0, 3.0, -1.0, 2.0, -3.0])",
    "weight = torch.zeros(6)",
    "Theorem 3.3: and they are not zero",
)


@breaks(
    "Theorem 3.3: weights: ten lines = autograd",
    "Theorem 3.3: x and its gradient, likewise",
)
def run_g_first(monkeypatch):
    """A sequence takes the half steps of a block in the wrong order."""
    monkeypatch.setattr(
        reversible.ReversibleBlock,
        "steps",
        property(lambda self: [self.g, self.f]),
    )


@breaks(
    "Theorem 3.3: weights: the library = autograd",
    "Theorem 3.3: x's gradient, likewise",
)
def lose_the_gradient_through_f(monkeypatch):
    """The half that F has seen gets no gradient from there."""
    backward = sequence._Forgetful.backward

    def wrong(ctx, gradient):
        found = [*backward(ctx, gradient)]
        found[4] = None if found[4] is None else 0 * found[4]
        return tuple(found)

    monkeypatch.setattr(sequence._Forgetful, "backward", staticmethod(wrong))


@breaks("Theorem 3.3: 8 blocks in float64: 12 digits")
def rebuild_in_float32(monkeypatch):
    """Halves pass through float32 on their way back."""
    down = sequence.HalfStep.up

    def wrong(self, x):
        return down(self, x.float().to(x.dtype))

    monkeypatch.setattr(sequence.HalfStep, "up", wrong)


@breaks("Theorem 3.3: reversible: F runs twice")
def run_f_three_times(monkeypatch):
    """The second call is made a third time."""
    again = Replay.again

    @contextmanager
    def wrong(self):
        with again(self) as net:
            yield lambda x: 0 * net(x) + net(x)

    monkeypatch.setattr(Replay, "again", wrong)


run_it_twice = rewrite(
    'verify.equal("Theorem 3.3", "stored: F runs once", calls(stored), 1.0, 0)',
    'verify.equal("Theorem 3.3", "stored: F runs once", '
    "calls(lambda *a: stored(*a) + stored(*a)), 1.0, 0)",
    "Theorem 3.3: stored: F runs once",
)


@breaks(
    "Theorem 3.3: with dropout: the same gradients",
    "Theorem 3.3: the generator goes on as before",
)
def forget_the_generator(monkeypatch):
    """The second call draws another mask."""
    monkeypatch.setattr(Replay, "_set", lambda self, states: None)


same_mask = rewrite(
    "stored, seed=1)[0]",
    "stored, seed=0)[0]",
    "Theorem 3.3: another mask: other gradients",
)


@breaks("Theorem 3.3: the generator goes on as before")
def leave_the_generator_there(monkeypatch):
    """After the second call the generator stands where the mask was drawn."""

    @contextmanager
    def wrong(self):
        buffers = {k: v.clone() for k, v in self.net.named_buffers()}
        self._set(self.states or [])
        yield partial(functional_call, self.net, buffers)

    monkeypatch.setattr(Replay, "again", wrong)


@breaks(
    "Theorem 3.3: with dropout: the same gradients",
    "Theorem 3.3: 8 blocks in float64: 12 digits",
)
def repeat_in_evaluation(monkeypatch):
    """The second call is made in evaluation mode."""
    again = Replay.again

    @contextmanager
    def wrong(self):
        with again(self) as net:
            self.net.eval()
            yield net
            self.net.train()

    monkeypatch.setattr(Replay, "again", wrong)


@breaks("Theorem 3.3: under autocast: the same gradients")
def repeat_in_float32(monkeypatch):
    """The second call runs outside of autocast."""
    again = Replay.again

    @contextmanager
    def wrong(self):
        self.options = None
        with again(self) as net:
            yield net

    monkeypatch.setattr(Replay, "again", wrong)


autocast_everywhere = rewrite(
    "in_bfloat16(stored), stored)]",
    "in_bfloat16(stored), in_bfloat16(stored))]",
    "Theorem 3.3: without: other gradients",
)


@breaks(
    "Theorem 3.3: one batch is counted once",
    "Theorem 3.3: running_mean is plain autograd's",
)
def update_statistics_twice(monkeypatch):
    """The second call works on the buffers themselves."""

    @contextmanager
    def wrong(self):
        yield self.net

    monkeypatch.setattr(Replay, "again", wrong)


@breaks("Theorem 3.3: running_var is plain autograd's")
def update_the_variance_twice(monkeypatch):
    """The copies of the second call's variances are kept."""

    @contextmanager
    def wrong(self):
        buffers = {k: v.clone() for k, v in self.net.named_buffers()}
        yield partial(functional_call, self.net, buffers)
        for name, value in self.net.named_buffers():
            if name.endswith("running_var"):
                value.copy_(buffers[name])

    monkeypatch.setattr(Replay, "again", wrong)


forget_a_term = rewrite(
    "found.append(K * found[-1] + found[-2] + rho)",
    "found.append(K * found[-1] + rho)",
    "Proposition 3.4: K = 1: the bound is attained",
    "Proposition 3.4: K = 1: Fibonacci numbers, less one",
    "Proposition 3.4: K = 1/2: it grows by lambda a step",
)


forget_the_lipschitz_constant = rewrite(
    "found.append(K * found[-1] + found[-2] + rho)",
    "found.append(found[-1] + found[-2] + rho)",
    "Proposition 3.4: K = 2: the bound is attained",
)
understate_the_roundings = rewrite(
    "bounds(lipschitz(net), steps, rho)",
    "bounds(lipschitz(net), steps, 0.001 * rho)",
    "Proposition 3.4: float32: 20 steps stay below it",
)


@breaks("Proposition 3.4: K = 1: the bound is attained")
def add_on_the_way_back(monkeypatch):
    """A half step back adds what the network says."""

    def wrong(self, b, c):
        b = self.up(b)
        return self.up(c + self.net(b)), b

    monkeypatch.setattr(reversible.HalfStep, "undo", wrong)


norm_of_the_other_side = rewrite(
    "abs().sum(1).max().item()",
    "abs().sum(0).max().item()",
    "Proposition 3.4: K: the product of the norms",
)
add_the_norms = rewrite(
    "return math.prod(layer.weight",
    "return sum(layer.weight",
    "Proposition 3.4: K: the product of the norms",
)
float64_all_the_way = rewrite(
    "dtype=torch.float32",
    "dtype=torch.float64",
    "Proposition 3.4: and do not come back exactly",
)


@breaks(
    "Proposition 3.5: three lines: the library's S",
    "Proposition 3.5: S^-1 S x = x",
)
def shuffle_the_channels(monkeypatch):
    """S writes pixel (i, j) to channel 2 j + i of its block."""
    forward = flows.Squeeze.forward

    def wrong(self, x, context=None):
        z, ladj = forward(self, x, context)
        parts = z.unflatten(1, (-1, 2, 2)).transpose(2, 3)
        return parts.flatten(1, 3), ladj

    monkeypatch.setattr(flows.Squeeze, "forward", wrong)


@breaks(
    "Proposition 3.5: S^T S = I",
    "Proposition 3.5: and ladj = 0",
)
def average_in_squeeze(monkeypatch):
    """S pools: each channel is the mean of its block."""
    forward = flows.Squeeze.forward

    def wrong(self, x, context=None):
        z, ladj = forward(self, x, context)
        parts = z.unflatten(1, (-1, 4))
        return parts.mean(2, keepdim=True).expand_as(parts).flatten(1, 2), ladj

    monkeypatch.setattr(flows.Squeeze, "forward", wrong)


@breaks("Proposition 3.5: it is a permutation: one 1 a row")
def add_neighbours_in_squeeze(monkeypatch):
    """Each output is the sum of two pixels."""
    forward = flows.Squeeze.forward

    def wrong(self, x, context=None):
        z, ladj = forward(self, x, context)
        return z + z.roll(1, 1), ladj

    monkeypatch.setattr(flows.Squeeze, "forward", wrong)


@breaks("Theorem 3.6: bijective: the picture comes back")
def forget_the_first_step(monkeypatch):
    """The inverse ends one half step too early."""

    def wrong(self, z, context=None):
        for block in reversed(self.blocks[1:]):
            z, _ = block.inverse(z)
        return z, z.new_zeros(len(z))

    monkeypatch.setattr(reversible.ReversibleSequence, "inverse", wrong)


@breaks("Theorem 3.6: bijective: so do any features")
def add_channels_unasked(monkeypatch):
    """The bijective network is built as an injective one."""
    make = reversible.IRevNet.__init__

    def wrong(self, shape, blocks, hidden, padding=0, **options):
        make(self, shape, blocks, hidden, padding or 4, **options)

    monkeypatch.setattr(reversible.IRevNet, "__init__", wrong)


@breaks("Theorem 3.6: injective: the picture comes back")
def drop_the_last_channels(monkeypatch):
    """The pseudo-inverse drops channels of the picture, not those of zeros."""

    def wrong(self, features):
        z, _ = self.sequence.inverse(features)
        return self.squeeze.inverse(z[:, : z.shape[1] - self.padding])[0]

    monkeypatch.setattr(reversible.IRevNet, "invert", wrong)


@breaks("Theorem 3.6: injective: not any features")
def add_no_channels(monkeypatch):
    """The injective network is built as a bijective one."""
    make = reversible.IRevNet.__init__

    def wrong(self, shape, blocks, hidden, padding=0, **options):
        make(self, shape, blocks, hidden, 0, **options)

    monkeypatch.setattr(reversible.IRevNet, "__init__", wrong)


@breaks(
    "Theorem 3.6: bijective: log|det| = 0",
    "Theorem 3.6: bijective: the picture comes back",
)
def double_what_passes(monkeypatch):
    """A half step doubles the half that it hands on."""
    advance = reversible.HalfStep.advance

    def wrong(self, a, b):
        b, c = advance(self, a, b)
        return 2 * b, c

    monkeypatch.setattr(reversible.HalfStep, "advance", wrong)


@breaks("Theorem 3.6: shuffled places: the same logits")
def read_one_place(monkeypatch):
    """The projection looks at the first place instead of the mean."""

    def wrong(self, features):
        return self.head(self.norm(features).relu()[:, :, 0, 0])

    monkeypatch.setattr(reversible.IRevNet, "project", wrong)


flip_nothing = rewrite(
    "swapped = z.flip((2, 3))",
    "swapped = z",
    "Theorem 3.6: from another picture",
)


@breaks("Proposition 3.7: features: H(T) = H(X), I as before")
def forget_a_half(monkeypatch):
    """A half step drops the half that it should add to."""

    def wrong(self, a, b):
        return self.down(b), self.net(b)

    monkeypatch.setattr(reversible.HalfStep, "advance", wrong)


forget_the_labels = rewrite(
    "return h, h + entropy(p.sum(0)) - entropy(p)",
    "return h, h - entropy(p)",
    "Proposition 3.7: I[X, Y] = KL(P(x, y) || P(x) P(y))",
)
compare_the_entropies = rewrite(
    "information(world)[1] - information(answer)[1]",
    "information(answer)[0] - information(world)[0]",
    "Proposition 3.7: the answer knows no more of Y",
)
answer_with_everything = rewrite(
    "answer = reader.project(features).argmax(1, keepdim=True)",
    "answer = features",
    "Proposition 3.7: but less",
)

"""Mutants of the chapter on autoregressive image models."""

import sys

import torch

from dgm_course import pixel
from dgm_course.coding import codecs
from dgm_course.flows import PatchMAF
from dgm_course.likelihoods import Categorical, ColourLogistics, colours
from dgm_course.pixel import (
    gated,
    image_transformer,
    pixelcnn,
    pixelcnnpp,
    pixelrnn,
    snail,
)
from mutants import breaks, rewrite

# the package's function of this name hides the module
tarflow = sys.modules["dgm_course.flows.tarflow"]


def see(monkeypatch, kinds):
    """Exchange kinds of masks at the place itself."""
    right = pixelcnn.sees
    monkeypatch.setattr(
        pixelcnn, "sees", lambda kind, *sizes: right(kinds[kind], *sizes)
    )


@breaks(
    "Theorem 7.1: 256 pictures: their probabilities",
    "Theorem 7.2: mask A: ours is the library's",
    "Theorem 7.2: AB: earlier ones alone",
    "Theorem 7.2: AA: not the one before",
    "Proposition 7.5: each class: the sum is one",
)
def show_the_answer(monkeypatch):
    """The first layer has mask B."""
    see(monkeypatch, {"A": "B", "B": "B"})


@breaks(
    "Theorem 7.2: mask B: ours is the library's",
    "Theorem 7.2: AB: the one before is seen",
    "Theorem 7.2: BB: each sees itself",
    "Theorem 7.2: PixelCNN: all that is earlier, and no more",
)
def repeat_mask_a(monkeypatch):
    """All layers have mask A."""
    see(monkeypatch, {"A": "A", "B": "A"})


@breaks(
    "Theorem 7.2: mask A: ours is the library's",
    "Theorem 7.2: PixelCNN: all that is earlier, and no more",
)
def swap_the_colours(monkeypatch):
    """The last colour comes first."""
    right = pixelcnn.sees

    def wrong(kind, *sizes):
        return right(kind, *sizes).flip(0, 1)

    monkeypatch.setattr(pixelcnn, "sees", wrong)


@breaks(
    "Theorem 7.2: AB: earlier ones alone",
    "Theorem 7.2: PixelCNN: all that is earlier, and no more",
)
def shift_the_mask(monkeypatch):
    """The masks let one more column in."""
    right = pixelcnn.MaskedConv.__init__

    def wrong(self, kind, inputs, outputs, width, *sizes):
        right(self, kind, inputs, outputs, width, *sizes)
        self.mask[:, :, -1, width // 2 + 1 : width // 2 + 2] = 1

    monkeypatch.setattr(pixelcnn.MaskedConv, "__init__", wrong)


@breaks("Theorem 7.1: draws: the entropy is their mean cost")
def draw_too_cold(monkeypatch):
    """Samples have another temperature than the likelihood."""
    right = Categorical.sample
    monkeypatch.setattr(
        Categorical,
        "sample",
        lambda self, p, temperature=1.0: right(self, p, 0.2),
    )


@breaks("Theorem 7.1: draws: the entropy is their mean cost")
def draw_columns_first(monkeypatch):
    """What is drawn is turned by a transposition."""
    right = pixel.PixelModel.sample
    monkeypatch.setattr(
        pixel.PixelModel,
        "sample",
        lambda self, *options: right(self, *options).transpose(2, 3),
    )


say_nothing = rewrite(
    "told = torch.cat([-y, y], 1)",
    "told = 0 * torch.cat([-y, y], 1)",
    "Theorem 7.1: not if factors see their own",
)


@breaks("Theorem 7.3: unseen: more than r columns to the right")
def widen_the_kernels(monkeypatch):
    """The blocks have larger kernels."""
    right = pixelcnn.Residual.__init__
    monkeypatch.setattr(
        pixelcnn.Residual,
        "__init__",
        lambda self, hidden, size, c: right(self, hidden, size + 2, c),
    )


@breaks("Theorem 7.4: two stacks: all that is earlier")
def cut_the_stacks_apart(monkeypatch):
    """The horizontal stack gets nothing from the vertical one."""
    right = gated.GatedLayer.rows

    def wrong(self, v, context):
        v, given = right(self, v, context)
        return v, 0 * given

    monkeypatch.setattr(gated.GatedLayer, "rows", wrong)


@breaks("Theorem 7.4: two layers: 3 rows, 2 columns, no more")
def widen_the_layers(monkeypatch):
    """Gated layers have larger kernels."""
    right = gated.GatedLayer.__init__

    def wrong(self, inputs, hidden, size, *others):
        right(self, inputs, hidden, size + 2, *others)

    monkeypatch.setattr(gated.GatedLayer, "__init__", wrong)


@breaks("Proposition 7.5: classes differ")
def ignore_the_class(monkeypatch):
    """The class is not added to the gates."""
    right = gated.GatedLayer.rows
    monkeypatch.setattr(
        gated.GatedLayer,
        "rows",
        lambda self, v, context: right(self, v, None),
    )


@breaks("Proposition 7.5: drawn with a class: what it is worth")
def draw_another_class(monkeypatch):
    """Samples are drawn of class 0, whatever was asked for."""
    right = pixel.PixelModel.sample
    monkeypatch.setattr(
        pixel.PixelModel,
        "sample",
        lambda self, n, context: right(self, n, 0 * context),
    )


@breaks("Proposition 7.6: 125 pixels: the sum is one")
def open_the_edge_bins(monkeypatch):
    """The first and the last bin end where the range ends."""

    def wrong(x, mean, log_scale, levels):
        top, per_scale = levels - 1, (-log_scale).exp()
        u = ((2 * x.to(mean.dtype) - top) / top - mean) * per_scale
        half = per_scale / top
        return (torch.sigmoid(u + half) - torch.sigmoid(u - half)).log()

    monkeypatch.setattr(colours, "log_mass", wrong)


@breaks("Proposition 7.6: our sum (7.2): the library's")
def shun_the_colours_before(monkeypatch):
    """The coefficients act with the wrong sign."""
    right = ColourLogistics.shifted
    monkeypatch.setattr(
        ColourLogistics,
        "shifted",
        lambda self, mean, a, y, c: right(self, mean, -a, y, c),
    )


@breaks("Proposition 7.6: red alone: the sum over the others")
def begin_with_green(monkeypatch):
    """The probabilities of the first colours are those of the last."""
    right = ColourLogistics.joints
    monkeypatch.setattr(
        ColourLogistics,
        "joints",
        lambda self, x, p: right(self, x, p).roll(1, 1),
    )


@breaks("Proposition 7.6: K = 1, a = 0: independent")
def lean_on_red(monkeypatch):
    """Coefficients of zero are a half."""
    right = ColourLogistics.split

    def wrong(self, parameters):
        *others, a = right(self, parameters)
        return *others, a + 0.5

    monkeypatch.setattr(ColourLogistics, "split", wrong)


@breaks("Proposition 7.6: draws: the entropy is their mean cost")
def draw_blue_first(monkeypatch):
    """Drawn colours stand in the wrong order."""
    right = ColourLogistics.sample
    monkeypatch.setattr(
        ColourLogistics, "sample", lambda self, p: right(self, p).flip(1)
    )


@breaks("Proposition 7.6: draws: the entropy is their mean cost")
def draw_colours_apart(monkeypatch):
    """Each colour is drawn as if it were the first."""
    right = ColourLogistics.sample

    def wrong(self, parameters):
        drawn = [right(self, parameters)[:, c] for c in range(self.colours)]
        return torch.stack(drawn, 1)

    monkeypatch.setattr(ColourLogistics, "sample", wrong)


use_one_component = rewrite(
    "m = means[k, c] + y",
    "m = means[0, c] + y",
    "Proposition 7.6: our sum (7.2): the library's",
    "Proposition 7.6: K = 2, a = 0: not independent",
)


@breaks(
    "Theorem 7.7: 2 resolutions: earlier pixels alone",
)
def look_down(monkeypatch):
    """The stream of rows sees the row below."""
    monkeypatch.setattr(pixelcnnpp, "DOWN", (1, 1, 0, 1))


write_one_late = rewrite(
    "past[:, :, i + 1, j + 1] = h",
    "past[:, :, i + 1, j] = h",
    "Theorem 7.8: our walk: the convolutions",
)


@breaks(
    "Theorem 7.8: PixelCNN: the loop's pictures",
)
def remember_one_late(monkeypatch):
    """The memory is one column late."""
    right = pixel.Stream.place

    def wrong(self, scale):
        row, column = right(self, scale)
        return row, max(column - 1, 0)

    monkeypatch.setattr(pixel.Stream, "place", wrong)


@breaks("Theorem 7.8: PixelCNN: whole passes")
def remember_nothing(monkeypatch):
    """All samples are drawn by the loop."""
    right = pixel.PixelModel.steps

    def wrong(self, y, rows, context, cached, progress):
        return right(self, y, rows, context, False, progress)

    monkeypatch.setattr(pixel.PixelModel, "steps", wrong)


@breaks("Proposition 7.9: convolutions alone: the first is not seen")
def look_far(monkeypatch):
    """Convolutions reach as far as the picture."""
    monkeypatch.setattr(pixelcnnpp, "RIGHT", (4, 0, 4, 0))


@breaks("Proposition 7.9: one layer of attention: all that is earlier")
def attend_to_all(monkeypatch):
    """Attention is not causal."""
    monkeypatch.setattr(
        snail, "causal", torch.nn.functional.scaled_dot_product_attention
    )


@breaks("Proposition 7.9: one layer of attention: all that is earlier")
def tell_the_pixel(monkeypatch):
    """Keys and values hold the pixel of their own place."""
    monkeypatch.setattr(
        snail.Surroundings,
        "forward",
        lambda self, y: torch.cat([y, snail.coordinates(y)], 1),
    )


@breaks(
    "Proposition 7.10: 32 places, Q = 4, M = 6: 320 pairs",
    "Proposition 7.10: one layer: Q + M pixels, no more",
)
def remember_more(monkeypatch):
    """The memory of a block is larger than asked for."""
    right = image_transformer.blocks_1d
    monkeypatch.setattr(
        image_transformer,
        "blocks_1d",
        lambda h, w, query, memory, arange: right(
            h, w, query, memory + 4, arange
        ),
    )


@breaks("Proposition 7.10: one layer: Q + M pixels, no more")
def forget_the_memory(monkeypatch):
    """A block attends to itself alone."""
    right = image_transformer.blocks_1d

    def wrong(height, width, query, memory, arange):
        found = right(height, width, query, memory, arange)
        found.seen[..., :memory] = False
        return found

    monkeypatch.setattr(image_transformer, "blocks_1d", wrong)


@breaks("Proposition 7.10: rectangles: what is before, in their order")
def tell_nothing(monkeypatch):
    """The input of a place is empty."""
    monkeypatch.setattr(image_transformer, "delayed", torch.zeros_like)


@breaks("Proposition 7.10: rectangles: what is before, in their order")
def show_the_pixel(monkeypatch):
    """The input of a place is its own pixel."""
    monkeypatch.setattr(image_transformer, "delayed", lambda x: x)


@breaks("Proposition 7.10: which is not row by row")
def draw_row_by_row(monkeypatch):
    """Rectangles are drawn as if they were rows."""
    monkeypatch.setattr(
        image_transformer.Blocks,
        "order",
        lambda self: torch.arange(len(self.key)),
    )


shift_nothing = rewrite(
    "out[i, i : i + width] = x[i]",
    "out[i, :width] = x[i]",
    "Proposition 7.11: our skew: the library's",
)


@breaks("Proposition 7.11: and back")
def unskew_too_far(monkeypatch):
    """The way back shifts by one place too many."""
    right = pixelrnn.unskew
    monkeypatch.setattr(
        pixelrnn, "unskew", lambda x, width: right(x, width).roll(1, -1)
    )


@breaks("Proposition 7.11: diagonal: what is seen, and no more")
def leave_the_row(monkeypatch):
    """The states from the right are not moved down."""
    monkeypatch.setattr(pixelrnn, "moved_down", lambda x: x)


@breaks("Proposition 7.11: row: what is seen, and no more")
def run_upwards(monkeypatch):
    """The rows run from the bottom to the top."""
    right = pixelrnn.RowLSTM.forward
    monkeypatch.setattr(
        pixelrnn.RowLSTM,
        "forward",
        lambda self, x: right(self, x.flip(2)).flip(2),
    )


@breaks("Proposition 7.11: row: what is seen, and no more")
def widen_the_triangle(monkeypatch):
    """A state sees thirteen of the row above."""
    right = pixelrnn.RowLSTM.__init__

    def wrong(self, inputs, hidden):
        right(self, inputs, hidden)
        self.state_to_state = torch.nn.Conv1d(
            hidden, 4 * hidden, 13, padding=6, bias=False
        )

    monkeypatch.setattr(pixelrnn.RowLSTM, "__init__", wrong)


@breaks("Proposition 7.11: row: what is seen, and no more")
def carry_nothing(monkeypatch):
    """Each row begins with an empty state."""
    right = pixelrnn.RowLSTM.forward
    monkeypatch.setattr(
        pixelrnn.RowLSTM,
        "forward",
        lambda self, x: torch.cat([right(self, r) for r in x.split(1, 2)], 2),
    )


@breaks(
    "Proposition 7.12: 512 pictures: their probabilities",
    "Proposition 7.12: groups before are seen, and no other",
)
def let_the_group_in(monkeypatch):
    """A group sees the whole picture."""
    right = pixel.Multiscale._corner

    def wrong(self, y, level, k):
        return right(self, y, level, k) * (1 + y.mean((1, 2, 3), keepdim=True))

    monkeypatch.setattr(pixel.Multiscale, "_corner", wrong)


@breaks("Proposition 7.12: side 4: 7 steps")
def count_every_pixel(monkeypatch):
    """Each pixel is a group of its own."""
    monkeypatch.setattr(pixel.OrderedModel, "order", pixel.PixelModel.order)


@breaks("Proposition 7.12: groups before are seen, and no other")
def forget_the_groups(monkeypatch):
    """Each group is drawn from the coarse picture alone."""
    right = pixel.Multiscale._corner

    def wrong(self, y, level, k):
        stride = 2 ** len(self.levels) >> level
        coarse = torch.zeros_like(y)
        coarse[..., ::stride, ::stride] = y[..., ::stride, ::stride]
        return right(self, coarse, level, k)

    monkeypatch.setattr(pixel.Multiscale, "_corner", wrong)


@breaks(
    "Proposition 7.13: ladj = log|det J|",
    "Proposition 7.13: with memory: the inverse",
)
def attend_to_later_patches(monkeypatch):
    """The transformer of a TarFlow is not causal."""
    monkeypatch.setattr(
        tarflow, "causal", torch.nn.functional.scaled_dot_product_attention
    )


@breaks(
    "Proposition 7.13: with memory: the inverse",
    "Proposition 7.13: each patch once: the textbook's",
)
def lose_the_position(monkeypatch):
    """With memory each patch is told that it is the first."""
    right = PatchMAF._said
    monkeypatch.setattr(
        PatchMAF,
        "_said",
        lambda self, x, told, memories=(), start=0: right(
            self, x, told, memories
        ),
    )


@breaks(
    "Proposition 7.14: PixelCNN: read back exactly",
)
def read_backwards(monkeypatch):
    """Pictures come back mirrored."""
    right = codecs.Pixels.pop
    monkeypatch.setattr(
        codecs.Pixels, "pop", lambda self, stack: right(self, stack).flip(3)
    )


@breaks("Proposition 7.14: PixelCNN: two words from ideal")
def doubt_each_symbol(monkeypatch):
    """Most of the probability is spread evenly."""
    right = codecs.Pixels._each

    def wrong(self, count, parameters):
        p = right(self, count, parameters)
        return 0.1 * p + 0.9 / p.shape[1]

    monkeypatch.setattr(codecs.Pixels, "_each", wrong)


@breaks("Proposition 7.14: PixelCNNPP: two words from ideal")
def code_colours_apart(monkeypatch):
    """Each colour is coded with the probabilities of the first."""
    right = codecs.Pixels._given
    monkeypatch.setattr(
        codecs.Pixels,
        "_given",
        lambda self, x, parameters, c: right(self, x, parameters, 0),
    )

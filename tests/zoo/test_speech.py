"""Recordings in rows: nothing is lost, and nothing is counted twice."""

import math

import pytest
import torch

from dgm_course import data, verify, wavenet
from dgm_course.zoo import recordings
from dgm_course.zoo.recipes import speech
from dgm_course.zoo.recordings import BANDS, CONTEXT, HOP, LENGTH


def test_every_recording_stands_in_the_row_of_its_class():
    found = data.prompts("test", full=False)
    rows = recordings.in_rows("test", full=False)
    total = sum(len(sound) for sound in found.waveforms)
    assert sum(sum(row.lengths) for row in rows) == total
    assert [
        recordings.label_of(n) for n in ("digits/4", "letters/a", "x", "a/b")
    ] == [0, 1, 3, 3]
    for row in rows:
        own = [
            sound
            for sound, name in zip(found.waveforms, found.names)
            if recordings.label_of(name) == row.label
        ]
        start = CONTEXT
        for sound in own:
            part = row.sound[start : start + len(sound)]
            assert torch.equal(part, sound)
            start += len(sound)
        assert not row.sound[:CONTEXT].any()
        assert not row.sound[start:].any()
        assert len(row.sound) % HOP == 0


@pytest.mark.parametrize("blocks", [3, 4, 9])
def test_windows_cover_a_row_once(blocks):
    sound = torch.arange(1, blocks * HOP + 1).to(torch.int16)
    row = recordings.Row(sound, [len(sound)], 2)
    length, hop = 4 * HOP, 3 * HOP
    pieces, known, labels = recordings.windows(row, length, hop)
    assert labels.tolist() == [2] * len(pieces)
    assert known.shape == (len(pieces), BANDS, 4)
    new = pieces[:, HOP:].flatten()
    whole = torch.cat([pieces[0, :HOP], new])
    assert torch.equal(whole[: len(sound)], sound)
    assert not whole[len(sound) :].any()
    assert len(whole) - len(sound) < hop


def test_a_crop_keeps_sound_and_features_together():
    torch.manual_seed(0)
    frames = torch.arange(12).repeat_interleave(HOP)
    sound = torch.stack([frames, frames + 100]).to(torch.int16)
    known = torch.stack([torch.arange(12.0), torch.arange(12.0) + 100])
    batch = sound, known[:, None].expand(-1, 3, -1), torch.tensor([0, 1])
    starts = set()
    for _ in range(40):
        some, local, label = recordings.cut(batch, 4 * HOP)
        assert some.shape == (2, 4 * HOP) and local.shape == (2, 3, 4)
        assert torch.equal(some[:, ::HOP].float(), local[:, 0])
        assert torch.equal(label, batch[2])
        starts.add(int(some[0, 0]))
    assert starts == set(range(9))  # all that fit


def test_code_lengths_of_recordings_add_up():
    torch.manual_seed(0)
    model = speech.histogram()
    with torch.no_grad():
        total, lengths = speech.nats(model, "test", full=False)
    row = recordings.in_rows("test", full=False)[0]
    levels = speech.as_levels(model, row.sound[None])
    log_p = model.net.constant[:, 0].log_softmax(0).double()
    first = levels[0, 0, CONTEXT:][: row.lengths[0]].long()
    # the mean of float32 roundings, one for each sample
    verify.equal("", "", total[0].float(), -log_p[first].sum().float(), 4096)
    sounds = data.prompts("test", full=False).waveforms
    assert sorted(lengths.tolist()) == sorted(map(len, sounds))


def test_the_error_of_a_ratio():
    """For equal lengths it is that of a mean; for equal rates it is zero."""
    nats = torch.tensor([1.0, 2.0, 4.0]).double()
    equal = speech.per_sample(nats, torch.full((3,), 10.0).double())
    mean, se = verify.mean_and_se(nats / 10 / math.log(2))
    assert equal.mean == pytest.approx(mean) and equal.se == pytest.approx(se)
    same = speech.per_sample(3 * nats, nats)
    assert same.mean == pytest.approx(3 / math.log(2))
    assert same.se < 1e-12 and same.n == 3


def test_the_loss_is_nats_per_sample_with_features_in_half_of_the_rows():
    length = CONTEXT + LENGTH  # one crop is possible
    torch.manual_seed(0)
    sound = torch.randint(-3000, 3000, (5, length)).to(torch.int16)
    known = torch.randn(5, BANDS, length // HOP)
    model = speech.teacher_16().requires_grad_(False)
    for weights in model.parameters():
        torch.nn.init.normal_(weights, std=0.1)
    found = speech.loss(model, (sound, known, torch.zeros(5).long()), 0)
    x = speech.as_levels(model, sound)
    told, silent = (
        -model.log_probs(x, given, context=CONTEXT).mean(1)
        for given in (known, None)
    )
    torch.testing.assert_close(found[:2], told[:2])
    torch.testing.assert_close(found[2:], silent[2:])
    assert not torch.isclose(told, silent).any()


def test_a_student_that_sounds_like_the_recording_loses_no_power():
    length = CONTEXT + LENGTH
    known = torch.zeros(2, BANDS, length // HOP)
    torch.manual_seed(0)
    model = wavenet.Distillation(
        speech.untrained_student(), speech.teacher_16()
    ).requires_grad_(False)

    torch.manual_seed(1)
    torch.randint(1, (2, 1))  # the crop, of which there is one
    found = model.divergence(2, length, known, context=CONTEXT)
    losses = []
    for loudness in (1.0, 0.1):
        sound = (loudness * found.x * 2**15).clamp(-(2**15), 2**15 - 1)
        batch = sound.round().to(torch.int16), known, torch.zeros(2).long()
        torch.manual_seed(1)
        losses.append(speech.distil(model, batch, 0) - found.kl)
    # a tenth of the amplitude is a hundredth of the power, in each band; the
    # quieter sound is rounded to 16 bits
    lost = torch.full((2,), speech.POWER * math.log(100) ** 2)
    torch.testing.assert_close(losses[0], 0 * lost, rtol=0, atol=1e-3)
    torch.testing.assert_close(losses[1], lost, rtol=0.01, atol=0)

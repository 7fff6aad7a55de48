"""Players of sounds hold the sound, and say what it is."""

import base64
import io
import re
import wave

import pytest
import torch

from dgm_course.listen import listen, wav


def test_a_file_holds_the_sound():
    sound = torch.tensor([0.0, 0.5, -1.0, 3.0])
    with wave.open(io.BytesIO(wav(sound, 8000))) as file:
        assert file.getparams()[:4] == (1, 2, 8000, 4)
        levels = torch.frombuffer(
            bytearray(file.readframes(4)), dtype=torch.int16
        )
    assert levels.tolist() == [0, 16384, -32767, 32767]


def test_players_are_labelled_and_play_their_own_sound():
    sounds = {"real <1>": torch.zeros(5), "drawn": torch.ones(5)}
    shown = listen(sounds)._repr_html_()
    found = re.findall(r'aria-label="([^"]*)" src="data:[^,]*,([^"]*)"', shown)
    assert [label for label, _ in found] == ["real &lt;1&gt;", "drawn"]
    for (_, data), sound in zip(found, sounds.values(), strict=True):
        assert base64.b64decode(data) == wav(sound)
    assert "real &lt;1&gt;</p>" in shown and "autoplay" not in shown


def test_what_cannot_be_heard_is_refused():
    with pytest.raises(ValueError, match=r"int16 of shape \(2, 3\)"):
        wav(torch.zeros(2, 3, dtype=torch.int16))
    with pytest.raises(ValueError, match="a label"):
        listen({" ": torch.zeros(3)})
    with pytest.raises(ValueError, match="at least one sound"):
        listen({})
    with pytest.raises(ValueError, match="play fewer seconds"):
        listen({"long": torch.zeros(300_000)})

"""Sounds to listen to: one labelled player each, no kernel, no network."""

from __future__ import annotations

import base64
import html
import io
import wave
from typing import Any

MOST = 500_000


def wav(sound: Any, rate: int = 8000) -> bytes:
    """Return a sound as a WAV file of 16 bits, one channel.

    Args:
        sound: Tensor (T,), numbers in [-1, 1]; what is louder is clipped.
        rate: Samples per second.

    Raises:
        ValueError: If it is no single sound, or holds integers.
    """
    if sound.ndim != 1 or not sound.is_floating_point():
        raise ValueError(
            f"sound holds {sound.dtype} of shape {tuple(sound.shape)}; "
            "expected numbers in [-1, 1], (T,)"
        )
    levels = (sound.detach().cpu().clamp(-1, 1) * 32767).round()
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(levels.numpy().astype("<i2").tobytes())
    return buffer.getvalue()


class listen:  # noqa: N801 - reads as a verb in a cell
    """Show players, each with its label, as the last line of a cell.

    Args:
        sounds: By label: tensors (T,), numbers in [-1, 1].
        rate: Samples per second.

    Raises:
        ValueError: If there is no sound, or no label, or if they would make
            the page large.
    """

    def __init__(self, sounds: dict[str, Any], rate: int = 8000) -> None:
        if not sounds or not all(label.strip() for label in sounds):
            raise ValueError("give each sound a label, and at least one sound")
        files = {label: wav(sound, rate) for label, sound in sounds.items()}
        size = sum(map(len, files.values()))
        if size > MOST:
            raise ValueError(
                f"the sounds take {size:,} bytes of a page; at most {MOST:,}: "
                "play fewer seconds"
            )
        self._html = "\n".join(
            _player(label, file) for label, file in files.items()
        )

    def _repr_html_(self) -> str:
        return f'<div class="dgm-listen">{self._html}</div>'


def _player(label: str, file: bytes) -> str:
    text = html.escape(label)
    source = base64.b64encode(file).decode()
    return (
        f'<p><audio controls preload="metadata" aria-label="{text}" '
        f'src="data:audio/wav;base64,{source}" '
        'style="width:min(20em,60%);vertical-align:middle"></audio> '
        f"{text}</p>"
    )

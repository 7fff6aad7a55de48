"""Figures that move: a slider over frames drawn beforehand, no kernel."""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Callable, Sequence
from typing import Any

from .plots import described, image_tag, png

# of a reader whose system prefers reduced motion, before anything moves
QUESTION = "This moves. Press again to play"

SCRIPT = """<script>(()=>{
const root=document.getElementById("%(uid)s");
const frames=%(frames)s,labels=%(labels)s;
const [img,button,slider,label]=["img","button","input","output"]
  .map(tag=>root.querySelector(tag));
const last=img.cloneNode(),ends=document.createElement("span");
last.src=frames[frames.length-1];last.alt+=" "+labels[frames.length-1];
ends.textContent=labels[0]+"; then "+labels[frames.length-1];
for(const added of [ends,last]){added.className="dgm-print";
  added.style.display="none";img.after(added)}
const calm=matchMedia("(prefers-reduced-motion: reduce)");
let timer=null,asked=false;
const say=(text,name="Play or pause")=>{button.textContent=text;
  button.setAttribute("aria-label",name)};
const show=()=>{img.src=frames[slider.value];
  label.textContent=labels[slider.value];
  slider.setAttribute("aria-valuetext",labels[slider.value])};
const stop=()=>{clearInterval(timer);timer=null;asked=false;say("\\u25B6")};
slider.addEventListener("input",show);
button.addEventListener("click",()=>{
  if(timer)return stop();
  if(calm.matches&&!asked){asked=true;
    return say("%(question)s","%(question)s")}
  say("\\u275A\\u275A");
  timer=setInterval(()=>{slider.value=(+slider.value+1)%%frames.length;show()},
    %(interval)d)});
show()})()</script>"""


class Player:
    """Frames behind a native HTML slider: no kernel, no network."""

    def __init__(
        self,
        frames: list[bytes],
        labels: list[str],
        name: str,
        alt: str,
        interval: int = 400,
    ) -> None:
        self.frames = frames
        self.labels = labels
        self.name = name
        self.alt = alt
        self.interval = interval

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        # who sees one picture only sees where the slider ends
        text = f"{self.alt} Here {self.labels[-1]}."
        return described(self.html(), self.frames[-1], text)

    def html(self) -> str:
        """Return the figure as a fragment of a page."""
        # the id depends on the frames alone: same output on every run
        digest = hashlib.sha256(b"".join(self.frames)).hexdigest()
        uid = f"player-{digest[:12]}"
        tags = [image_tag(frame, self.alt) for frame in self.frames]
        sources = [tag.split('"')[1] for tag in tags]
        name = html.escape(self.name)
        script = SCRIPT % {
            "uid": uid,
            "frames": json.dumps(sources),
            "labels": json.dumps(self.labels).replace("</", "<\\/"),
            "interval": self.interval,
            "question": QUESTION,
        }
        return (
            f'<div id="{uid}" class="dgm-player" role="group" '
            f'aria-label="{html.escape(self.alt)}">{tags[0]}<br>'
            '<button type="button" aria-label="Play or pause">&#9654;'
            '</button> <input type="range" min="0" '
            f'max="{len(tags) - 1}" value="0" aria-label="{name}" '
            'data-lm-suppress-shortcuts="true" '  # JupyterLab takes arrows
            'style="width:min(20em,55%);vertical-align:middle"> '
            f'<output aria-live="off">{html.escape(self.labels[0])}</output>'
            f"</div>{script}"
        )


def explore(
    draw: Callable[[Any], Any],
    values: Sequence[Any],
    *,
    name: str,
    alt: str,
    dpi: int = 96,
) -> Any:
    """Draw one frame per value and show them behind a slider.

    Args:
        draw: Maps a value to a matplotlib figure.
        values: The values of the slider, one frame each.
        name: What the slider changes.
        alt: What the figure shows, for those who do not see it.
        dpi: Resolution of each frame.

    Returns:
        An object that shows itself in Jupyter, Colab and static HTML.

    Raises:
        ValueError: If there are no values, or no description.
    """
    if len(values) == 0:
        raise ValueError("values is empty; give at least one value to draw")
    if not alt.strip():
        raise ValueError("alt is empty; say what the figure shows")
    labels = [f"{name} = {_text(value)}" for value in values]
    frames = [png(draw(value), dpi) for value in values]
    return Player(frames, labels, name, alt)


def _text(value: Any) -> str:
    value = value.item() if hasattr(value, "item") else value
    return f"{value:.3g}" if isinstance(value, float) else str(value)

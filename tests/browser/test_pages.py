"""Every built page in Chromium: light and dark, wide and narrow.

A page is opened once per width, and everything is checked there; then the
system turns to the other theme, and the page must follow without a reload.
"""

import functools
import http.server
import re
import threading
from pathlib import Path

import pytest
from support.browser import (
    CHROMIUM,
    nobody_is_shut_out,
    nothing_is_too_wide,
    opened,
)

HTML = Path(__file__).parents[2] / "_build/html"
PAGES = sorted(p.stem for p in (HTML / "book").glob("*.html"))
NOTEBOOKS = {p.stem for p in (HTML.parents[1] / "book").glob("*.ipynb")}
MEGABYTES = 3  # of a page: what a phone loads in seconds
# the text of a page without its code
PROSE = """() => {
  const article = document.querySelector("article").cloneNode(true);
  for (const code of article.querySelectorAll("pre, code, dl, script"))
    code.remove();
  return article.textContent;
}"""
# formulas inside of a line that run out of their paragraph
CUT_OFF = """() => {
  const block = e => getComputedStyle(e).display === "inline"
    ? block(e.parentElement) : e;
  const right = e => e.getBoundingClientRect().right;
  return [...document.querySelectorAll("article mjx-container:not([display])")]
    .filter(e => !e.closest("table, .pst-scrollable-table-container"))
    .filter(e => right(e) > right(block(e.parentElement)) + 1)
    .map(e => e.closest("p, li, div").textContent.slice(0, 60));
}"""
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None,
        reason="chromium is missing: apt-get install chromium",
    ),
    pytest.mark.skipif(not PAGES, reason="no built book: make book"),
]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def home():
    handler = functools.partial(Quiet, directory=str(HTML))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def has_theme(page, scheme):
    page.wait_for_function(
        "theme => document.documentElement.dataset.theme === theme", arg=scheme
    )


def text_is_rendered(page):
    assert page.locator("mjx-merror").count() == 0
    assert page.locator("article h1").count() == 1
    assert page.inner_text("article h1").strip()
    prose = page.evaluate(PROSE)
    for stray in ("$$", r"\tag", "::::", "{doc}", "**", "<a id", "| --", "| —"):
        assert stray not in prose, stray
    # "<torch._C.Generator object at 0x7f...>": end the cell with a semicolon
    address = re.search(r"<[^<>]* at 0x\w+>", page.inner_text("article"))
    assert not address, address


def formulas_are_whole(page):
    assert page.evaluate(CUT_OFF) == []


def images_are_described(page):
    for image in page.locator("article img").all():
        assert (image.get_attribute("alt") or "").strip()


def sliders_move_by_keyboard_mouse_and_play(page):
    for player in page.locator(".dgm-player").all():
        player.scroll_into_view_if_needed()
        image, slider = player.locator("img"), player.locator("input")
        label = player.locator("output")
        start = image.get_attribute("src"), label.inner_text()
        slider.focus()
        page.keyboard.press("ArrowRight")
        assert image.get_attribute("src") != start[0]
        assert label.inner_text() != start[1]
        assert slider.get_attribute("aria-valuetext") == label.inner_text()
        box = slider.bounding_box()
        middle = box["y"] + box["height"] / 2
        page.mouse.click(box["x"] + box["width"] - 4, middle)
        assert slider.input_value() == slider.get_attribute("max")
        assert image.get_attribute("src") != start[0]
        player.locator("button").click()
        page.wait_for_function(
            "slider => slider.value !== slider.max", arg=slider.element_handle()
        )
        player.locator("button").click()


def folded_cells_open(page):
    for hidden in page.locator("details.hide").all():
        assert hidden.get_attribute("open") is None
        hidden.locator("summary").first.click()
        assert hidden.locator(".highlight").first.is_visible()


def colab_button_points_at_the_notebook(page, name):
    links = page.locator("a[href*='colab.research.google.com']")
    assert bool(links.count()) == (name in NOTEBOOKS)
    for link in links.all():
        end = f"/blob/main/book/{name}.ipynb"
        assert link.get_attribute("href").endswith(end)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", PAGES)
def test_page(browser, home, name, width):
    """A narrow page is opened as a file: the book must open both ways."""
    root, file = home if width == 1280 else HTML.as_uri(), f"book/{name}.html"
    first, then = ("light", "dark") if width == 1280 else ("dark", "light")
    with opened(browser, root, file, first, width) as (page, problems):
        has_theme(page, first)
        text_is_rendered(page)
        nothing_is_too_wide(page)
        formulas_are_whole(page)
        images_are_described(page)
        colab_button_points_at_the_notebook(page, name)
        sliders_move_by_keyboard_mouse_and_play(page)
        folded_cells_open(page)
        if width == 1280:  # narrow: the same elements and colours once more
            nobody_is_shut_out(page)
        page.emulate_media(color_scheme=then)
        has_theme(page, then)
        nothing_is_too_wide(page)
        formulas_are_whole(page)
        if width == 1280:
            nobody_is_shut_out(page)
        assert not problems


def test_search_finds_dequantization(browser, home):
    address = "search.html?q=dequantization"
    with opened(browser, home, address) as (page, problems):
        link = "#search-results a[href*='01_uniform_dequantization']"
        page.wait_for_selector(link, timeout=60_000)
        # Sphinx's search misses the anchors of modules, and says so
        assert not [p for p in problems if "Sphinx search" not in p]


def test_index_leads_to_the_book(browser, home):
    with opened(browser, home, "index.html") as (page, problems):
        page.wait_for_url("**/book/intro.html")
        assert not problems


@pytest.mark.parametrize("name", PAGES)
def test_page_is_light(name):
    size = (HTML / f"book/{name}.html").stat().st_size / 1e6
    assert size <= MEGABYTES, (
        f"{name}.html has {size:.1f} MB; draw fewer frames, or smaller ones"
    )

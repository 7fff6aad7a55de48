"""Every built page in Chromium: light and dark, wide and narrow.

A page is opened once per width, and everything is checked there; then the
system turns to the other theme, and the page must follow without a reload.
"""

import functools
import http.server
import re
from pathlib import Path

import pytest
from support.browser import (
    CHROMIUM,
    nobody_is_shut_out,
    nothing_is_too_wide,
    opened,
    small_tables_fit,
)
from support.servers import serving

from dgm_course.player import QUESTION

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
# what a page of paper would cut off, and what stays shut on it
NOT_PRINTED = """() => {
  const wide = "article :is(mjx-container[display], pre, img, table)";
  const text = document.querySelector("article");
  const right = text.getBoundingClientRect().right;
  const cut = [...document.querySelectorAll(wide)].filter(
    e => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1
      || e.getBoundingClientRect().right > right + 1);
  const code = text.querySelectorAll("details.hide pre");
  const shut = [...code].filter(
    e => !e.checkVisibility({contentVisibilityAuto: true}));
  return [...cut, ...shut].map(
    e => e.localName + " " + e.textContent.slice(0, 60));
}"""
# contrast of text with what is behind it, where it is below 4.5
FAINT = """() => {
  const light = c => c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0.05);
  const behind = e => {
    const c = e ? getComputedStyle(e).backgroundColor : "rgb(255, 255, 255)";
    return c === "rgba(0, 0, 0, 0)" ? behind(e.parentElement) : c;
  };
  const text = "article :is(p, li, a, pre, pre span)";
  const full = e => e.textContent.trim();
  return [...document.querySelectorAll(text)].filter(full).filter(e => {
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))];
    return Math.max(a, b) / Math.min(a, b) < 4.5;
  }).map(e => e.className + " " + e.textContent.slice(0, 60));
}"""
PAPER = 794  # CSS pixels of A4
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
    with serving(handler) as address:
        yield address


def has_theme(page, scheme):
    page.wait_for_function(
        "theme => document.documentElement.dataset.theme === theme", arg=scheme
    )


def text_is_rendered(page):
    assert page.locator("mjx-merror").count() == 0
    assert page.locator("article h1").count() == 1
    assert page.inner_text("article h1").strip()
    prose = page.evaluate(PROSE)
    for stray in ("$", r"\tag", "::::", "{doc}", "**", "<a id", "| --", "| —"):
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
        image, slider = player.locator("img").first, player.locator("input")
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


def boxes_have_names(page):
    for box in page.locator("article div.admonition[class*='dgm-']").all():
        title = box.locator(".admonition-title").first.text_content()
        assert box.get_attribute("role") == "group"
        name = box.get_attribute("aria-label")
        # a formula in the words behind the number is typeset meanwhile
        assert name.partition(" (")[0] == title.partition(" (")[0]


def formulas_are_no_tab_stops(page):
    assert page.locator("mjx-container[tabindex]").count() == 0
    formulas = page.locator("mjx-container").count()
    assert page.locator("mjx-assistive-mml").count() == formulas


def paper_has_everything(page):
    """Print: no formula and no code is cut, solutions are open."""
    size = page.viewport_size
    page.set_viewport_size({"width": PAPER, "height": 1123})
    page.emulate_media(media="print")
    assert page.evaluate(NOT_PRINTED) == []
    for player in page.locator(".dgm-player").all():
        ends = player.locator("img")
        assert ends.count() == 2 and ends.last.is_visible()
        assert not player.locator("input").is_visible()
    page.emulate_media(media="screen")
    page.set_viewport_size(size)


def folded_cells_open(page):
    for hidden in page.locator("details.hide").all():
        assert hidden.get_attribute("open") is None
        hidden.locator("summary").first.click()
        assert hidden.locator(".highlight").first.is_visible()


def colab_button_points_at_the_notebook(page, name):
    links = page.locator("a[href*='colab.research.google.com']")
    assert bool(links.count()) == (name in NOTEBOOKS - {"checks"})
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
        boxes_have_names(page)
        formulas_are_no_tab_stops(page)
        if width == 1280:
            paper_has_everything(page)
        else:
            small_tables_fit(page)
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


# what a keyboard has to reach, and the element that has the focus
REACHABLE = """() => [...document.querySelectorAll(
    "article :is(a[href], button, input, summary)")]
  .filter(e => e.checkVisibility({visibilityProperty: true}))
  .filter(e => e.getBoundingClientRect().width)
  .filter(e => !e.dataset.reached).map(e => e.outerHTML.slice(0, 80))"""
FOCUSED = """() => {
  const e = document.activeElement, box = e.getBoundingClientRect();
  const style = getComputedStyle(e);
  e.dataset.reached = (e.dataset.reached || "") + "x";
  const ring = style.outlineStyle !== "none" || style.boxShadow !== "none";
  const seen = e.checkVisibility({opacityProperty: true})
    && box.bottom > 0 && box.top < innerHeight;
  return {end: e === document.body || e.dataset.reached === "xx",
    name: e.outerHTML.slice(0, 80), shown: ring && seen};
}"""


def test_a_keyboard_reaches_everything(browser, home):
    """Tab goes through a chapter; what has the focus is seen and says so."""
    address = "book/01_uniform_dequantization.html"
    with opened(browser, home, address) as (page, problems):
        page.add_style_tag(content="* { transition: none !important; }")
        page.keyboard.press("Tab")
        first = page.evaluate(FOCUSED)
        assert "main-content" in first["name"], "no link over the menu"
        page.keyboard.press("Tab")
        hidden = []
        while not (now := page.evaluate(FOCUSED))["end"]:
            hidden += [] if now["shown"] else [now["name"]]
            page.keyboard.press("Tab")
        assert hidden == []
        assert page.evaluate(REACHABLE) == []
        page.locator("details.hide > summary").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("details.hide[open]").count() == 1
        assert not problems


def test_who_prefers_reduced_motion_is_asked_first(browser, home):
    address = "book/01_uniform_dequantization.html"
    with opened(browser, home, address) as (page, problems):
        page.emulate_media(reduced_motion="reduce")
        player = page.locator(".dgm-player").first
        button, slider = player.locator("button"), player.locator("input")
        button.click()
        assert button.inner_text() == QUESTION
        assert button.get_attribute("aria-label") == QUESTION
        page.wait_for_timeout(1000)  # two frames and a half
        assert slider.input_value() == "0"
        button.click()
        moved = "slider => slider.value !== '0'"
        page.wait_for_function(moved, arg=slider.element_handle())
        button.click()
        assert button.get_attribute("aria-label") == "Play or pause"
        assert not problems


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_without_scripts_can_be_read(browser, home, scheme):
    """Chromium runs ours and only ours, in a page that it takes for inert."""
    page = browser.new_context(
        color_scheme=scheme, java_script_enabled=False
    ).new_page()
    page.goto(f"{home}/book/04_autoregressive_flows.html")
    assert "Scripts are switched off" in page.inner_text("article")
    assert page.evaluate(FAINT) == []
    page.context.close()


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

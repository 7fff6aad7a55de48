"""Every built page in Chromium: light and dark, wide and narrow."""

import functools
import http.server
import shutil
import threading
from pathlib import Path

import pytest

HTML = Path(__file__).parents[2] / "_build/html"
PAGES = sorted(p.stem for p in (HTML / "book").glob("*.html"))
WITH_SLIDER = [p for p in PAGES if p[:2].isdigit()]
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
# no connection of the browser's own
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# the theme says these on every page, at the level "log"
CHATTER = ("[PST]: ", "[togglebutton]: ")
# not our content: each with its reason
FOREIGN = {
    "aria-deprecated-role": "docutils' list of references",
    "aria-required-children": "docutils' list of references",
}
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


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser, home):
    """Open a page; at the end nothing may have gone wrong on it."""
    contexts, problems = [], []

    def open_page(name, scheme="light", width=1280, root=home):
        context = browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 900}
        )
        contexts.append(context)
        page = context.new_page()

        def request(r):
            if not r.url.startswith((root, "data:", "blob:")):
                problems.append(f"external request: {r.url}")

        page.on("request", request)

        def console(m):
            if not (m.type == "log" and m.text.startswith(CHATTER)):
                problems.append(f"console {m.type}: {m.text}")

        page.on("console", console)
        page.on("pageerror", lambda e: problems.append(f"error: {e}"))
        page.on(
            "response",
            lambda r: (
                r.status >= 400 and problems.append(f"{r.status} {r.url}")
            ),
        )
        page.goto(f"{root}/book/{name}.html", wait_until="load")
        if page.locator("span.math, div.math").count():
            page.wait_for_selector("mjx-container", timeout=20_000)
            page.wait_for_function("MathJax.startup.promise.then(() => true)")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not problems


def each_page(function):
    return pytest.mark.parametrize("name", PAGES)(function)


@each_page
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page(open_page, name, scheme, width):
    page = open_page(name, scheme, width)
    theme = page.evaluate("document.documentElement.dataset.theme")
    assert theme == scheme
    assert page.locator("mjx-merror").count() == 0
    assert page.locator("article h1").count() == 1
    prose = page.evaluate(PROSE)
    for stray in ("$$", r"\tag", "::::", "{doc}", "**", "<a id", "| --", "| —"):
        assert stray not in prose, stray
    overflow = page.evaluate(
        "document.documentElement.scrollWidth - window.innerWidth"
    )
    assert overflow <= 0, f"the page is {overflow} pixels too wide"
    assert page.evaluate(CUT_OFF) == []
    for image in page.locator("article img").all():
        assert (image.get_attribute("alt") or "").strip()


@each_page
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(open_page, name, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = open_page(name, scheme)
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
    # preload would ask for style sheets at addresses that do not exist
    run_only = {"type": "tag", "values": tags}
    options = {"runOnly": run_only, "preload": False}
    found = Axe().run(page, context="article", options=options).response
    violations = [
        (v["id"], [node["target"] for node in v["nodes"]][:3])
        for v in found["violations"]
        if v["id"] not in FOREIGN
    ]
    assert not violations


@pytest.mark.parametrize("name", WITH_SLIDER)
def test_slider_moves_by_keyboard_mouse_and_play(open_page, name):
    page = open_page(name)
    player = page.locator(".dgm-player").first
    player.scroll_into_view_if_needed()
    image, slider = player.locator("img"), player.locator("input")

    def state():
        return image.get_attribute("src"), player.locator("output").inner_text()

    start = state()
    slider.focus()
    page.keyboard.press("ArrowRight")
    by_key = state()
    assert by_key[0] != start[0] and by_key[1] != start[1]
    assert slider.get_attribute("aria-valuetext") == by_key[1]
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 4, box["y"] + box["height"] / 2)
    assert state()[0] not in (start[0], by_key[0])
    assert slider.input_value() == slider.get_attribute("max")
    player.locator("button").click()
    page.wait_for_function(
        "slider => slider.value !== slider.max", arg=slider.element_handle()
    )
    player.locator("button").click()


def test_search_finds_dequantization(open_page, home):
    page = open_page("intro")
    page.goto(f"{home}/search.html?q=dequantization")
    link = "#search-results a[href*='01_uniform_dequantization']"
    page.wait_for_selector(link, timeout=20_000)


def test_index_leads_to_the_book(open_page, home):
    page = open_page("intro")
    page.goto(f"{home}/index.html")
    page.wait_for_url("**/book/intro.html")


@each_page
def test_opens_as_a_file(open_page, name):
    page = open_page(name, root=HTML.as_uri())
    assert page.locator("mjx-merror").count() == 0
    assert page.inner_text("article h1").strip()


@pytest.mark.parametrize("name", WITH_SLIDER)
def test_solutions_start_hidden_and_open(open_page, name):
    page = open_page(name)
    hidden = page.locator("details.hide").first
    assert hidden.get_attribute("open") is None
    hidden.locator("summary").click()
    assert hidden.locator(".highlight").first.is_visible()


@pytest.mark.parametrize("name", WITH_SLIDER)
def test_colab_button_points_at_the_notebook(open_page, name):
    page = open_page(name)
    link = page.locator("a[href*='colab.research.google.com']").first
    assert link.get_attribute("href").endswith(f"/blob/main/book/{name}.ipynb")

"""Pages in Chromium: how they are opened, and what holds for all of them."""

import shutil
from contextlib import contextmanager

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
# axe takes seconds for each thousand elements: keep one of each kind in code,
# and a letter for each formula, which has the colour of its paragraph
THIN_OUT = """() => {
  for (const formula of document.querySelectorAll("mjx-container"))
    formula.replaceWith("x");
  const seen = new Set(), look = e => e.localName + "." + e.className;
  for (const e of document.querySelectorAll("article :is(pre, dt, code) *")) {
    const kind = look(e.parentElement) + ">" + look(e);
    if (seen.has(kind) && !e.matches("a, button, :has(a, button)"))
      e.replaceWith(e.textContent);
    seen.add(kind);
  }
}"""


@contextmanager
def opened(browser, root, page, scheme="light", width=1280):
    """Open a page; also yield the list of what goes wrong on it."""
    address, problems = f"{root}/{page}", []
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 900}
    )
    page = context.new_page()

    def request(r):
        if not r.url.startswith((root, "data:", "blob:")):
            problems.append(f"external request: {r.url}")

    def console(m):
        if not (m.type == "log" and m.text.startswith(CHATTER)):
            problems.append(f"console {m.type}: {m.text}")

    def response(r):
        if r.status >= 400:
            problems.append(f"{r.status} {r.url}")

    page.on("request", request)
    page.on("console", console)
    page.on("pageerror", lambda e: problems.append(f"error: {e}"))
    page.on("response", response)
    page.goto(address, wait_until="load")
    if page.locator("span.math, div.math").count():
        page.wait_for_selector("article mjx-container", timeout=60_000)
        page.wait_for_function("MathJax.startup.promise.then(() => true)")
    yield page, problems
    context.close()


def nothing_is_too_wide(page):
    overflow = page.evaluate(
        "document.documentElement.scrollWidth - window.innerWidth"
    )
    assert overflow <= 0, f"the page is {overflow} pixels too wide"


def small_tables_fit(page):
    """Up to three columns without a formula need no scrolling."""
    cut = page.evaluate(
        """() => [...document.querySelectorAll(
        "article table:not(:has(tr > :nth-child(4), mjx-container))"
        )].filter(t => t.offsetWidth > t.parentElement.clientWidth)
        .map(t => t.innerText.slice(0, 80))"""
    )
    assert cut == [], "tables that do not fit"


def nobody_is_shut_out(page, context="article"):
    """Find no violation of WCAG A or AA; this thins the page out."""
    from axe_playwright_python.sync_playwright import Axe

    page.evaluate(THIN_OUT)
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
    # preload would ask for style sheets at addresses that do not exist
    run_only = {"type": "tag", "values": tags}
    options = {"runOnly": run_only, "preload": False}
    report = Axe().run(page, context=context, options=options)
    violations = [
        (v["id"], [node["target"] for node in v["nodes"]][:3])
        for v in report.response["violations"]
        if v["id"] not in FOREIGN
    ]
    assert not violations

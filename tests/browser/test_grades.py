"""The grader's pages in Chromium: light and dark, wide and narrow."""

import json

import corpus
import pytest
from mangled import notebook
from support.browser import (
    CHROMIUM,
    nobody_is_shut_out,
    nothing_is_too_wide,
    opened,
)

from dgm_course import cli

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None,
        reason="chromium is missing: apt-get install chromium",
    ),
]
SCRIPT = "<script>document.title = 'mine'</script><img src=x onerror=alert(1)>"
CLASS = {
    "ann": notebook(corpus.SOLUTION),
    "Анна Ахматова": notebook(corpus.HONEST, "long " * 400),
    "<script>document.title = 1": notebook(
        [*corpus.HONEST, f"raise ValueError({SCRIPT + 'y' * 200!r})"],
        written=SCRIPT,
    ),
    "w" * 120: notebook(["def distances(x): return 1 / 0"]),
}
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
LINES = """e => e.getClientRects()[0].height
  / parseFloat(getComputedStyle(e).lineHeight)"""


@pytest.fixture(scope="session")
def graded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graded")
    (folder / "in").mkdir()
    for name, content in CLASS.items():
        (folder / "in" / f"{name}.ipynb").write_text(json.dumps(content))
    (folder / "in/broken.ipynb").write_text("no notebook")
    words = ["grade", "t1", str(folder / "in"), "--out", str(folder / "out")]
    words += ["--assignments", str(corpus.HERE / "assignments"), "--unsafe"]
    assert cli.main(words) == 0
    return folder / "out"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_of_the_grader(browser, graded, width, scheme):
    feedback = sorted(f"feedback/{p.name}" for p in graded.glob("feedback/*"))
    assert len(feedback) == len(CLASS) + 1
    titles = dict.fromkeys(feedback, "Feedback on t1")
    titles["summary.html"] = "Summary of t1"
    titles["written/t1.w1.html"] = "t1.w1: Why squares"
    for file, title in titles.items():
        with opened(browser, graded.as_uri(), file, scheme, width) as found:
            page, problems = found
            assert page.title() == page.inner_text("h1") == title
            assert page.locator("script, img").count() == 0
            colour = page.evaluate(BACKGROUND)[4:-1].split(",")
            dark = sum(map(int, colour)) < 3 * 128
            assert dark == (scheme == "dark"), colour
            nothing_is_too_wide(page)
            headings_are_on_one_line(page)
            assert not problems
            text = page.content()
        assert ("Students by whole points. 0: 1; 3: 2; 4: 1" in text) == (
            file == "summary.html"
        )
        if width == 1280:  # narrow: the same elements and colours once more
            without_policy(browser, text, scheme)


def headings_are_on_one_line(page):
    """No word of them is broken."""
    for cell in page.locator("thead th").all():
        assert cell.evaluate(LINES) < 2, cell.inner_text()


def without_policy(browser, text, scheme):
    """Axe is a script, and the pages let none run."""
    policy = 'http-equiv="Content-Security-Policy"'
    assert policy in text
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.set_content(text.replace(policy, 'name="none"'))
    nobody_is_shut_out(page, "main")
    context.close()

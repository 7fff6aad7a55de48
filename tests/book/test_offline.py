"""The files that a reader takes along: one document, and an archive."""

import re
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from support.browser import CHROMIUM

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "_build/html"
sys.path.insert(0, str(ROOT / "book/_ext"))
import offline  # noqa: E402

PAGE = """<html><head><title>{title} — Book</title>
<script>MathJax = {{startup: {{promise: Promise.resolve()}}}}</script></head>
<body><header>menu</header><article class="bd-article"><section id="top">
<h1>{title}</h1><a href="#top">same</a> <mjx-container>x</mjx-container>
<a href="../book/01_two.html#top">b</a> <a href="../book/intro.html">page</a>
<a href="../_sources/x.ipynb">file</a> <a href="https://doi.org/1">out</a>
<label for="field">l</label><input id="field">
<div id="player-1"></div><script>find("player-1")</script>
</section></article></body></html>"""
NAMES = ["book/intro", "book/01_two", "assignments/a1_three"]


@pytest.fixture
def built(tmp_path, monkeypatch):
    html = tmp_path / "_build/html"
    for name in NAMES:
        (html / name).parent.mkdir(parents=True, exist_ok=True)
        (html / f"{name}.html").write_text(PAGE.format(title=name[-3:]))
    chapters = [{"file": name} for name in NAMES[1:]]
    toc = {"root": NAMES[0], "parts": [{"chapters": chapters}]}
    (tmp_path / "_toc.yml").write_text(yaml.safe_dump(toc))
    monkeypatch.setattr(offline, "ROOT", tmp_path)
    monkeypatch.setattr(offline, "HTML", html)
    return html


def test_links_between_pages_stay_in_the_document(built):
    page = BeautifulSoup(offline.whole().read_text(), "html.parser")
    assert page.title.text == "Book" and page.header is None
    titles = [tag.text for tag in page.find_all("h1")]
    assert titles == ["tro", "two", "ree"]
    ids = [tag["id"] for tag in page.find_all(id=True)]
    ours = [i for i in ids if i != "player-1"]
    assert len(ours) == len(set(ours)) == 3 * 3
    three = page.find(id="page-a1_three")
    assert [a["href"] for a in three.find_all("a")] == [
        "#page-a1_three--top",
        "#page-01_two--top",
        "#page-intro",
        "../_sources/x.ipynb",
        "https://doi.org/1",
    ]
    inner = {a["href"][1:] for a in page.select("a[href^='#']")}
    assert inner <= set(ids)
    assert three.label["for"] == three.input["id"] == "page-a1_three--field"


def test_the_archive_holds_the_pages_and_not_itself(built):
    for _ in range(2):
        with zipfile.ZipFile(offline.pack()) as archive:
            names = {name.partition("/")[2] for name in archive.namelist()}
            assert names == {f"{name}.html" for name in NAMES}
            assert archive.testzip() is None


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing")
def test_each_page_begins_a_sheet(built):
    data = offline.pdf().read_bytes()
    assert data[:5] == b"%PDF-"
    assert len(re.findall(rb"/Type\s*/Page\b", data)) == len(NAMES)
    assert not list(built.rglob("_whole.html"))


def test_without_a_browser_it_says_what_to_install(built, monkeypatch):
    monkeypatch.setattr(offline.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="apt-get install chromium"):
        offline.pdf()


@pytest.mark.slow
@pytest.mark.skipif(not BUILT.exists(), reason="no built book: make book")
def test_the_links_of_the_book_have_their_targets():
    path = offline.whole()
    try:
        page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    finally:
        path.unlink()
    ids = {tag["id"] for tag in page.find_all(id=True)}
    inner = {a["href"][1:] for a in page.select("article a[href^='#']")}
    assert inner and inner <= ids, inner - ids

"""Make files of the built pages that a reader takes along.

    python book/_ext/offline.py pdf
    python book/_ext/offline.py zip

``pdf`` writes all pages one after the other into a single page, so that links
between chapters lead to places of the same document, lets Chromium typeset the
formulas and prints it: figures that move as their first and last frame.
``zip`` packs everything that was built. Both stand in ``_build/html``, where
the introduction links them.
"""

from __future__ import annotations

import argparse
import os
import posixpath
import shutil
import sys
import zipfile
from pathlib import Path
from urllib.parse import urldefrag

import yaml
from bs4 import BeautifulSoup, Tag

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build/html"
NAME = "deep-generative-models"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# what a page has besides its text
AROUND = (
    "header, footer, dialog, .bd-sidebar, .bd-sidebar-primary, .skip-link, "
    ".bd-sidebar-secondary, .prev-next-footer, #pst-skip-link, noscript, "
    "#jb-print-docs-body"
)
STYLE = """
.dgm-page { break-before: page; }
.dgm-page:first-child { break-before: auto; }
.headerlink, .copybtn, .toggle-button { display: none !important; }
.bd-main .bd-content { margin-left: 0 !important; }
.bd-main .bd-content .bd-article h1:first-of-type { display: block !important; }
"""
FOOT = (
    '<div style="font-size:8px;width:100%;text-align:center">'
    '<span class="pageNumber"></span></div>'
)
MARGINS = {"top": "15mm", "bottom": "15mm", "left": "15mm", "right": "15mm"}
# attributes that name an element of the same page
REFERENCES = ("for", "aria-labelledby", "aria-describedby", "aria-controls")


def pages() -> list[str]:
    """Return the pages of the book in their order, such as ``book/intro``."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    parts = [c["file"] for part in toc["parts"] for c in part["chapters"]]
    return [toc["root"], *parts]


def article(name: str, known: dict[str, str]) -> Tag:
    """Return the text of a page, with names that no other page has.

    Args:
        name: The page, such as ``book/intro``.
        known: Prefix of each page's names.
    """
    text = (HTML / f"{name}.html").read_text(encoding="utf-8")
    page = BeautifulSoup(text, "html.parser").select_one("article.bd-article")
    page.name, page["class"], page["id"] = "section", "dgm-page", known[name]
    scripts = " ".join(tag.text for tag in page.find_all("script"))
    for tag in page.find_all(id=True):
        if tag["id"] not in scripts:  # a player finds itself by its name
            tag["id"] = f"{known[name]}--{tag['id']}"
    for attribute in REFERENCES:
        for tag in page.find_all(**{attribute: True}):
            tag[attribute] = f"{known[name]}--{tag[attribute]}"
    for link in page.find_all("a", href=True):
        link["href"] = inside(link["href"], name, known)
    return page


def inside(href: str, name: str, known: dict[str, str]) -> str:
    """Return where a link of a page leads within the document."""
    path, fragment = urldefrag(href)
    if ":" in path:
        return href
    folder = posixpath.dirname(name)
    target = posixpath.normpath(posixpath.join(folder, path)) if path else name
    page = known.get(target.removesuffix(".html"))
    if page is None:  # a file beside the pages
        return posixpath.relpath(target, "book")
    return f"#{page}--{fragment}" if fragment else f"#{page}"


def whole() -> Path:
    """Write one page that holds the text of all."""
    names = pages()
    known = {name: f"page-{posixpath.basename(name)}" for name in names}
    # a chapter's head loads MathJax
    frame = next(n for n in names if posixpath.basename(n)[0].isdigit())
    text = (HTML / f"{frame}.html").read_text(encoding="utf-8")
    page = BeautifulSoup(text, "html.parser")
    page.title.string = page.title.text.split(" — ")[-1]
    for tag in page.select(AROUND):
        tag.decompose()
    style = page.new_tag("style")
    style.string = STYLE
    page.head.append(style)
    body = page.select_one("article.bd-article")
    body.clear()
    for name in names:
        body.append(article(name, known))
    path = HTML / "book/_whole.html"
    path.write_text(str(page), encoding="utf-8")
    return path


def pdf() -> Path:
    """Print the book."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        sys.exit(
            f"none of {', '.join(BROWSERS)} is here to print the book; "
            "install one: apt-get install chromium"
        )
    path, out = whole(), HTML / f"{NAME}.pdf"
    try:
        with sync_playwright() as p:
            options = ["--no-sandbox", "--disable-gpu"]
            browser = p.chromium.launch(executable_path=chromium, args=options)
            page = browser.new_page(color_scheme="light")
            page.set_default_timeout(0)  # thousands of formulas
            page.goto(path.as_uri(), wait_until="load")
            page.wait_for_function("MathJax.startup.promise.then(() => true)")
            bad = page.locator("mjx-merror").count()
            if bad or not page.locator("mjx-container").count():
                sys.exit(f"{bad} formulas could not be typeset; make book")
            page.pdf(
                path=out,
                format="A4",
                margin=MARGINS,
                display_header_footer=True,
                header_template="<span></span>",
                footer_template=FOOT,
                outline=True,
                tagged=True,
            )
            browser.close()
    finally:
        path.unlink()
    return out


def pack() -> Path:
    """Pack the pages, and the PDF where it has been printed."""
    out = HTML / f"{NAME}.zip"
    files = [p for p in sorted(HTML.rglob("*")) if p.is_file() and p != out]
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            inner = Path(NAME) / path.relative_to(HTML)
            archive.write(path, inner.as_posix())
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["pdf", "zip"])
    args = parser.parse_args()
    if not (HTML / "index.html").exists():
        sys.exit("no book is built; run `make book` first")
    out = pdf() if args.what == "pdf" else pack()
    size = out.stat().st_size / 1e6
    print(f"{os.path.relpath(out)}: {size:.1f} MB")


if __name__ == "__main__":
    main()

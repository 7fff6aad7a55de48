r"""The few lines of Sphinx that the book needs.

A lecture notebook holds plain Markdown, so that Colab, GitHub and JupyterLab
render it well. Here it becomes a book:

1. ``> **Theorem 1.2 (Name).** <a id="thm-x"></a> ...`` becomes a box that
   links can point at, and the Colab badge goes (the page has a button).
2. A formula of several lines keeps its ``\tag``.
3. The cache of executed notebooks also depends on the library, the
   requirements and the profile; checks.ipynb also on the chapters. What is
   not in it is executed first, one notebook per core at a time.
4. A box gets a role and its title as a name, and a page without JavaScript
   says what is missing.
"""

from __future__ import annotations

import hashlib
import html
import json
import logging
import os
import re
from pathlib import Path

from docutils import nodes
from jupyter_cache import get_cache
from jupyter_cache.cache.main import JupyterCacheBase
from jupyter_cache.executors import load_executor
from sphinx.errors import SphinxError

KINDS = "Theorem|Lemma|Proposition|Corollary|Definition|Proof|Remark|Exercise"
BOX = re.compile(
    rf"^> \*\*(?P<title>(?P<kind>{KINDS})\b.*?)\.?\*\*\s*(?P<rest>.*)$"
)
ANCHOR = re.compile(r'<a id="([\w-]+)"></a>[ \t]*')
BADGE = re.compile(
    r"^(\[!\[Open In Colab\]|\[Read it as a page\])\(.*\)\n*", re.M
)
FENCE = re.compile(r"^\s*(```|~~~)")
CHECKS = "book/checks"
TITLED = re.compile(
    r'<div class="dgm-[a-z]+ admonition"[^>]*>\s*'
    r'<p class="admonition-title">(?P<title>.*?)</p>',
    re.S,
)
MARKUP = re.compile(r"<[^>]+>|\\[()]")  # tags, and the brackets of a formula
WITHOUT_SCRIPTS = (
    "<noscript><p><strong>Scripts are switched off.</strong> Formulas stand "
    "here as TeX, sliders do not move, and the search does not work.</p>"
    "</noscript>"
)


def to_myst(text: str) -> str:
    """Translate the portable Markdown of a cell into MyST."""
    lines, out, fenced = BADGE.sub("", text).split("\n"), [], False
    while lines:
        line = lines.pop(0)
        fenced ^= bool(FENCE.match(line))
        box = None if fenced else BOX.match(line)
        if box is None:
            out.append(line)
            continue
        body = [box["rest"]]
        while lines and lines[0].startswith(">"):
            body.append(lines.pop(0)[1:].removeprefix(" "))
        content = "\n".join(body)
        out += [f"({name})=" for name in ANCHOR.findall(content)[:1]]
        out += [f"::::{{admonition}} {box['title']}"]
        out += [f":class: dgm-{box['kind'].lower()}", ""]
        out += [ANCHOR.sub("", content, count=1).strip(), "::::"]
    # an anchor alone on its line labels the block that follows it
    return re.sub(
        r'(?m)^<a id="([\w-]+)"></a>[ \t]*$\n?', r"(\1)=\n", "\n".join(out)
    )


def translate(app, docname, source):
    if Path(app.env.doc2path(docname)).suffix != ".ipynb":
        return
    notebook = json.loads(source[0])
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = to_myst("".join(cell["source"]))
    if docname == CHECKS:  # the cache knows its code, not the chapters
        notebook["metadata"]["mystnb"] = {"execution_mode": "force"}
    source[0] = json.dumps(notebook)


def keep_tags(app, doctree):
    """Sphinx wraps such formulas in ``split``, where MathJax refuses tags."""
    for node in doctree.findall(nodes.math_block):
        text = node.astext()
        if r"\tag" in text and r"\\" in text and not node.get("nowrap"):
            node["nowrap"] = True
            node.children = [nodes.Text(rf"\[{text}\]")]


def name_boxes(page: str) -> str:
    """Let screen readers announce where a theorem begins, and which."""

    def named(match):
        title = html.escape(html.unescape(MARKUP.sub("", match["title"])))
        return f'<div role="group" aria-label="{title}" {match[0][5:]}'

    return TITLED.sub(named, page)


def finish(app, pagename, templatename, context, doctree):
    if pagename == CHECKS:  # it works only among the other notebooks
        context["header_buttons"] = [
            button
            for button in context["header_buttons"]
            if button.get("label") != "launch-buttons"
        ]
    if doctree is not None:
        context["body"] = WITHOUT_SCRIPTS + name_boxes(context["body"])


def cache_key(root: Path) -> str:
    """Digest of what outputs depend on besides a notebook's own code."""
    key = [os.environ.get("DGM_PROFILE", "read")]
    key += [os.environ.get("DGM_STATIC", "")]
    digest = hashlib.sha256(" ".join(key).encode())
    files = [p for p in root.glob("dgm_course/**/*") if p.is_file()]
    for path in [*sorted(files), root / "requirements.txt"]:
        if "__pycache__" not in path.parts:
            name = path.relative_to(root).as_posix().encode()
            digest.update(name + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def place_cache(app, config):
    root = Path(app.srcdir)
    path = root / "_build/.jupyter_cache" / cache_key(root)
    config.nb_execution_cache_path = str(path)


class SharedCache(JupyterCacheBase):
    """A cache that several processes fill at once.

    Jupyter Cache lists the records to keep, then all records, and deletes
    the difference: what another process has added in between. Its limit, a
    thousand notebooks, is out of reach: a library has a cache of its own.
    """

    def truncate_caches(self):
        pass


class NotebooksFailed(SphinxError):
    """Cells raised; the executor has printed which and what."""

    category = "Notebooks failed"


def execute(app, env, docnames):
    """Fill the cache: MyST-NB alone would run one notebook after another."""
    paths = [str(env.doc2path(n)) for n in docnames if n != CHECKS]
    paths = [path for path in paths if path.endswith(".ipynb")]
    if not paths:
        return
    cache = get_cache(app.config.nb_execution_cache_path, SharedCache)
    for path in paths:
        cache.add_nb_to_project(path)
    log = logging.getLogger("dgm_book")
    log.setLevel(logging.WARNING)  # of the executor: failures only
    result = load_executor("local-parallel", cache, log).run_and_cache(
        filter_uris=paths, timeout=app.config.nb_execution_timeout
    )
    if failed := [*result.excepted, *result.errored]:
        raise NotebooksFailed(
            f"{', '.join(sorted(failed))}: the errors stand above; repair the "
            "cells, then build again (what ran is kept in the cache)"
        )


def collect_again(app, env, added, changed, removed):
    """checks.ipynb reads the chapters: it is stale when one of them is."""
    chapters = {name for name in added | changed if name[5:7].isdigit()}
    return [CHECKS] if chapters | removed else []


def setup(app):
    app.connect("config-inited", place_cache, priority=400)
    app.connect("env-before-read-docs", execute)
    app.connect("source-read", translate)
    app.connect("doctree-read", keep_tags)
    app.connect("html-page-context", finish, priority=900)  # after the theme
    app.connect("env-get-outdated", collect_again)
    return {"version": "1", "parallel_read_safe": True}

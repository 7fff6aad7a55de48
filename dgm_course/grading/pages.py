"""The HTML of the reports: one file each, no script, light and dark."""

from __future__ import annotations

import html

_STYLE = """
:root { color-scheme: light dark; --line: #c9c9c9; --soft: #f2f2f2;
  --good: #1a6b2d; --bad: #a32020; --bar: #3a6ea5; --text: #1c1c1c;
  --page: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --line: #555; --soft: #26292d;
  --good: #7fd18b; --bad: #ff9b93; --bar: #7fb2e5; --text: #e8e8e8;
  --page: #17191c; } }
body { background: var(--page); color: var(--text); margin: 2rem auto;
  max-width: 54rem; padding: 0 1rem; line-height: 1.5;
  font-family: system-ui, sans-serif; }
p, h2 { overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem;
  text-align: left; vertical-align: top; overflow-wrap: anywhere;
  min-width: 6.5rem; }
td.number, th.number { text-align: right; white-space: nowrap; min-width: 0; }
.good { color: var(--good); } .bad { color: var(--bad); }
pre.answer, li.note { white-space: pre-wrap; overflow-wrap: anywhere;
  background: var(--soft); padding: .6rem; }
svg { max-width: 36rem; }
svg rect { fill: var(--bar); } svg text { fill: var(--text); }
"""


def page(title: str, body: str) -> str:
    """Return a complete page.

    Args:
        title: Plain text.
        body: HTML, in which all that students wrote is escaped.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, '
        'initial-scale=1">\n'
        # nothing in a page is loaded or run, whatever a student wrote
        '<meta http-equiv="Content-Security-Policy" content="default-src '
        "'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n"
        f"</head>\n<body>\n<main>\n<h1>{html.escape(title)}</h1>\n{body}\n"
        "</main>\n</body>\n</html>\n"
    )


def table(
    head: list[str], rows: list[list[str]], numbers: tuple[int, ...] = ()
) -> str:
    """Return a table; the first cell of a row is its heading.

    Args:
        head: Headings of the columns, plain text.
        rows: Cells, plain text.
        numbers: Columns that are aligned to the right.
    """

    def cell(tag: str, i: int, text: str, scope: str = "") -> str:
        kind = ' class="number"' if i in numbers else ""
        return f"<{tag}{scope}{kind}>{html.escape(text)}</{tag}>"

    lines = [
        "".join(cell("th", i, h, ' scope="col"') for i, h in enumerate(head))
    ]
    body = [
        cell("th", 0, row[0], ' scope="row"')
        + "".join(cell("td", i, text) for i, text in enumerate(row[1:], 1))
        for row in rows
    ]
    inner = "".join(f"<tr>{line}</tr>\n" for line in body)
    return (
        '<div class="wide" tabindex="0" role="group" aria-label="table">'
        f"<table><thead><tr>{lines[0]}</tr></thead>\n"
        f"<tbody>{inner}</tbody></table></div>"
    )

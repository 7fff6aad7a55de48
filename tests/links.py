"""Look whether the links to other sites still lead somewhere.

    python tests/links.py [--cache links.json]

Asks each address that a page or the list of references names, at most once a
month: the cache remembers when it answered. A weekly job runs it
(.github/workflows/links.yml). `make test` never does: it needs a network and
other people's servers.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
import yaml

ROOT = Path(__file__).resolve().parents[1]
KINDS = {".bib", ".cff", ".ipynb", ".md"}  # code has mirrors, no pages
ADDRESS = re.compile(r"https?://[^\s<>\"'`\\{}|^\]]+")
DOI = re.compile(r"\bdoi = \{([^}]+)\}")
MONTH = 30 * 24 * 3600
TRIES = 3
# a site may refuse programs and still show the page to people
REFUSALS = {401, 403, 405, 418, 429, 999}
HEAD = {"User-Agent": "Mozilla/5.0 (link check of a textbook, once a month)"}


def own() -> tuple[str, ...]:
    """Return what begins addresses of the book itself, and examples."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    url = config["repository"]["url"]
    path = url.removeprefix("https://github.com")
    colab = f"https://colab.research.google.com/github{path}"
    return (url, config["html"]["baseurl"], colab, "http://localhost")


def addresses(text: str) -> set[str]:
    """Return the addresses in a text, without what punctuates the sentence."""
    found = {f"https://doi.org/{doi}" for doi in DOI.findall(text)}
    for address in ADDRESS.findall(text):
        address = address.rstrip(".,;:*_")
        while address.endswith(")") and address.count(")") > address.count("("):
            address = address[:-1].rstrip(".,;:*_")
        if "." in address.split("/")[2] and "$" not in address:
            found.add(address.partition("#")[0])
    return found


def collect() -> dict[str, list[str]]:
    """Return the files that name each address."""
    git = ["git", "ls-files", "--", ".", ":!tests"]
    names = subprocess.run(git, cwd=ROOT, check=True, capture_output=True)
    places = defaultdict(list)
    for name in names.stdout.decode().split("\n"):
        if Path(name).suffix in KINDS:
            text = (ROOT / name).read_text(encoding="utf-8")
            for address in addresses(text):
                if not address.startswith(own()):
                    places[address].append(name)
    return places


def problem(address: str, pause: float = 5.0) -> str | None:
    """Ask for a page; return what is wrong, or None."""
    said = ""
    for attempt in range(TRIES):
        time.sleep(attempt * pause)
        try:
            with requests.get(
                address, headers=HEAD, timeout=30, stream=True
            ) as answer:
                if answer.ok or answer.status_code in REFUSALS:
                    return None
                said = f"status {answer.status_code}"
            if answer.status_code in (404, 410):
                return said
        except requests.RequestException as error:
            said = type(error).__name__
    return said


def check(places: dict[str, list[str]], cache: Path | None) -> dict[str, str]:
    """Ask what has not answered for a month; return what is wrong."""
    answered = {}
    if cache is not None and cache.exists():
        answered = json.loads(cache.read_text())
    now = time.time()
    due = [a for a in sorted(places) if now - answered.get(a, 0) > MONTH]
    with ThreadPoolExecutor(8) as threads:
        found = dict(zip(due, threads.map(problem, due)))
    answered |= {a: now for a, wrong in found.items() if wrong is None}
    if cache is not None:
        known = {a: t for a, t in sorted(answered.items()) if a in places}
        cache.write_text(json.dumps(known, indent=1))
    return {a: wrong for a, wrong in found.items() if wrong is not None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, help="when each answered")
    args = parser.parse_args()
    places = collect()
    wrong = check(places, args.cache)
    for address, said in wrong.items():
        print(f"{address}: {said} (in {', '.join(places[address])})")
    print(f"{len(places)} addresses, {len(wrong)} lead nowhere")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()

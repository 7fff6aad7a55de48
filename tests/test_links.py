"""The weekly look at links: what it asks, and what it remembers."""

import json
from http.server import BaseHTTPRequestHandler

import links
import pytest
from support.servers import serving

STATUS = {"/here": 200, "/gone": 404, "/shy": 403, "/ill": 500}


@pytest.fixture
def site():
    asked = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(STATUS[self.path])
            self.end_headers()

        def log_message(self, *args):
            pass

    with serving(Answers) as address:
        yield address, asked


def test_addresses_end_where_the_sentence_goes_on():
    text = (
        "See (https://a.org/x_(y)), <https://b.org/z?q=1>. [c](https://c.org/d)"
        '; "https://e.org/f#part": doi = {10.1/g} http://localhost:8000'
    )
    assert links.addresses(text) == {
        "https://a.org/x_(y)",
        "https://b.org/z?q=1",
        "https://c.org/d",
        "https://e.org/f",
        "https://doi.org/10.1/g",
    }


def test_the_book_names_papers_and_not_itself():
    found = links.collect()
    assert any("doi.org" in address for address in found)
    assert not any("example-org" in address for address in found)


def test_who_answers_is_not_asked_again(site, tmp_path, monkeypatch):
    home, asked = site
    monkeypatch.setattr(links.time, "sleep", lambda seconds: None)
    places = {home + path: ["x.md"] for path in STATUS}
    cache = tmp_path / "links.json"
    wrong = {home + "/gone": "status 404", home + "/ill": "status 500"}
    assert links.check(places, cache) == wrong
    assert sorted(asked) == ["/gone", "/here", *["/ill"] * 3, "/shy"]
    del asked[:]
    assert links.check(places, cache) == wrong
    assert sorted(asked) == ["/gone", *["/ill"] * 3]
    old = {address: 0 for address in json.loads(cache.read_text())}
    cache.write_text(json.dumps(old))
    del asked[:]
    links.check(places, cache)
    assert {"/here", "/shy"} <= set(asked)


def test_a_host_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(links.time, "sleep", lambda seconds: None)
    assert links.problem("http://127.0.0.1:9/x") == "ConnectionError"

"""A small data set and a server on this machine that publishes it."""

import gzip
import hashlib
import struct
from dataclasses import replace
from http.server import BaseHTTPRequestHandler

import numpy as np
import pytest
from support.servers import serving

from dgm_course.data.sources import SOURCES


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path, request):
    """Each test has its own empty folder for full data sets."""
    if request.node.path.name == "test_full_sets.py":
        return None  # reads what this machine has
    path = tmp_path / "sets"
    monkeypatch.setenv("DGM_DATA", str(path))
    monkeypatch.delenv("DGM_PROFILE", raising=False)
    return path


def as_idx(array):
    head = struct.pack(">HBB", 0, 8, array.ndim)
    return head + np.array(array.shape, ">u4").tobytes() + array.tobytes()


class Site:
    """Addresses below `base` and what they serve.

    Attributes:
        pages: Maps a path to its body.
        lengths: Maps a path to a false Content-Length; None: none is sent.
        asked: The paths that were asked for, in order.
        meet: Where set, every request waits here for the others.
    """

    def __init__(self, base):
        self.base = base
        self.pages, self.lengths, self.asked = {}, {}, []
        self.meet = None


@pytest.fixture
def site():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            site.asked.append(self.path)
            if site.meet is not None:
                site.meet.wait()
            body = site.pages.get(self.path)
            if body is None:
                self.send_error(404)
                return
            self.send_response(200)
            length = site.lengths.get(self.path, len(body))
            if length is not None:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with serving(Handler) as address:
        site = Site(address)
        yield site


@pytest.fixture
def published(monkeypatch, site):
    """Nine pictures, published as MNIST on two mirrors, /a/ and /b/."""
    random = np.random.RandomState(0)
    arrays = {
        "train_images": random.randint(0, 256, (6, 28, 28), np.uint8),
        "train_labels": random.randint(0, 10, 6, np.uint8),
        "test_images": random.randint(0, 256, (3, 28, 28), np.uint8),
        "test_labels": random.randint(0, 10, 3, np.uint8),
    }
    files = dict(zip(SOURCES["mnist"].sha256, map(as_idx, arrays.values())))
    source = replace(
        SOURCES["mnist"],
        mirrors=[f"{site.base}/a/", f"{site.base}/b/"],
        sha256={f: hashlib.sha256(c).hexdigest() for f, c in files.items()},
    )
    monkeypatch.setitem(SOURCES, "mnist", source)
    for file, content in files.items():
        for mirror in "ab":
            site.pages[f"/{mirror}/{file}"] = gzip.compress(content)
    return arrays

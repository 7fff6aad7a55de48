"""Random damage to a notebook: what archivers, editors and people do."""

import copy
import json
import random

import corpus


def notebook(cells, written="Because squares are positive.", **metadata):
    """A notebook as a dictionary."""
    made = [
        {
            "cell_type": "code",
            "id": f"c{i}",
            "metadata": {},
            "source": source.splitlines(True),
            "outputs": [],
            "execution_count": None,
        }
        for i, source in enumerate(cells)
    ]
    made.append(
        {
            "cell_type": "markdown",
            "id": "t1-w1",
            "metadata": {},
            "source": f"### Answer t1.w1\n\n{written}",
        }
    )
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": metadata,
        "cells": made,
    }


def valid():
    return notebook(corpus.SOLUTION)


VALUES = [None, [], {}, "", 0, -1, 1e308, True, "\ud800", ["x", None], "\0"]


def _paths(node, path=()):
    yield path
    if isinstance(node, dict | list):
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in pairs:
            yield from _paths(value, (*path, key))


def _change_value(r, content):
    content = copy.deepcopy(content)
    *path, last = r.choice([p for p in _paths(content) if p])
    node = root = content
    for key in path:
        node = node[key]
    action = r.randrange(3)
    if action == 0:
        del node[last]
    elif action == 1:
        node[last] = r.choice(VALUES)
    elif isinstance(node, list):
        node.insert(r.randrange(len(node) + 1), copy.deepcopy(node[last]))
    else:
        node[r.choice(["source", "cell_type", "id", "x"])] = node[last]
    return json.dumps(root).encode()


def _change_bytes(r, data):
    data = bytearray(data)
    for _ in range(r.randrange(1, 8)):
        at = r.randrange(len(data))
        action = r.randrange(4)
        if action == 0:
            data[at] = r.randrange(256)
        elif action == 1:
            del data[at : at + r.randrange(1, 50)]
        elif action == 2:
            data[at:at] = r.randbytes(r.randrange(1, 20))
        else:
            data = data[: max(at, 1)]
    return bytes(data)


def _change_source(r, content):
    content = copy.deepcopy(content)
    cell = r.choice(content["cells"])
    text = "".join(cell["source"])
    at = r.randrange(len(text) + 1)
    extra = ["\t", "%", "!ls\n", "%%bash\n", "(", '"""', "\\", "?", "\r", "λ"]
    cell["source"] = text[:at] + r.choice(extra) + text[at:]
    return json.dumps(content, ensure_ascii=r.random() < 0.5).encode()


def mutate(seed):
    """The bytes of a mutated notebook."""
    r = random.Random(seed)
    content = valid()
    kind = r.randrange(4)
    if kind == 0:
        return _change_bytes(r, json.dumps(content).encode())
    if kind == 1:
        return _change_source(r, content)
    data = _change_value(r, content)
    if kind == 3:
        codec = r.choice(["utf-8-sig", "utf-16", "utf-16-le", "cp1251"])
        data = data.decode().encode(codec, "replace")
    return data

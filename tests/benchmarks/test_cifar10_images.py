"""CIFAR-10 as it is read, split, scaled and dealt out, on small archives and folders of the same form."""

import hashlib
import io
import tarfile
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError

from benchmarks.cifar10 import images
from benchmarks.cifar10.images import Images, Scale, augmented, crop_and_flip, load, split
from lowrank_kit.checks import InputError
from lowrank_kit.methods.batches import Batches
from lowrank_kit.records import Examples

PARTS = ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]
EACH = 3  # images in a part of the small archive; the official one has 10,000
CLASSES = ("airplane", "cat", "truck")
AS_THEY_ARE = Scale(np.zeros(3), np.ones(3))


@pytest.fixture
def records(rng):
    """{part: bytes (EACH, 1 + 3072)}, labels first."""
    found = {part: rng.integers(0, 256, (EACH, 3073), np.uint8) for part in PARTS}
    for part in found.values():
        part[:, 0] %= 10
    return found


@pytest.fixture
def pack(monkeypatch):
    """Writes records as an archive and makes it the official one."""

    def write(path, records):
        # Not in the order of their numbers, and among what is no image, as in the official archive.
        contents = {f"{part}.bin": records[part].tobytes() for part in reversed(PARTS)} | {"readme.html": b"<html>"}
        with tarfile.open(path, "w:gz") as tar:
            for name, content in contents.items():
                member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        monkeypatch.setattr(images, "MD5", hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest())
        return path

    return write


@pytest.fixture
def archive(tmp_path, records, pack):
    return pack(tmp_path / images.NAME, records)


@pytest.fixture
def folder(tmp_path, rng):
    """Two images a class to train on and one to test on, without loss; their pixels (32, 32, 3) in `folder.pixels`."""
    pixels = {}
    for part, n in (("train", 2), ("test", 1)):
        for name in CLASSES:
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(n):
                path = tmp_path / part / name / f"{i:04}.png"
                pixels[path] = rng.integers(0, 256, (32, 32, 3), np.uint8)
                Image.fromarray(pixels[path]).save(path)
    return tmp_path, pixels


@pytest.fixture
def training(rng):
    """Ten images, each of one colour that tells which it is, in batches of four."""
    x = np.ones((10, 3, 32, 32), np.uint8) * np.arange(1, 11, dtype=np.uint8).reshape(-1, 1, 1, 1)
    return Batches.of(Examples(x, np.arange(10)), size=4, seed=7, prepare=partial(crop_and_flip, AS_THEY_ARE))


def assert_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def dealt(batches):
    x, y = zip(*batches, strict=True)
    return torch.cat(x), torch.cat(y)


def never(*_):
    raise AssertionError("what was kept should have been read")


# the archive


def test_an_archive_is_read_byte_by_byte(archive, records):
    found = load(archive)
    train = np.concatenate([records[part] for part in PARTS[:5]])
    assert found.train_x.shape == (5 * EACH, 3, 32, 32)
    assert found.test_x.shape == (EACH, 3, 32, 32)
    assert [array.dtype.name for array in found] == ["uint8", "int64"] * 2
    assert all(array.flags.c_contiguous for array in found)
    for x, y, rows in ((found.train_x, found.train_y, train), (found.test_x, found.test_y, records["test_batch"])):
        np.testing.assert_array_equal(y, rows[:, 0])
        for i, colour, row, column in np.random.default_rng(1).integers(0, (EACH, 3, 32, 32), (50, 4)):
            assert x[i, colour, row, column] == rows[i, 1 + 1024 * colour + 32 * row + column]


def test_the_folder_of_an_archive_will_do(archive):
    assert_equal(load(archive.parent), load(archive))
    assert_equal(load(str(archive.parent)), load(archive))


def test_an_archive_is_decoded_once(archive, monkeypatch):
    first = load(archive)
    assert {path.name for path in archive.parent.iterdir()} == {images.NAME, "cifar-10-binary.safetensors"}
    monkeypatch.setattr(images, "_from_archive", never)
    second = load(archive)
    assert_equal(second, first)
    assert all(array.flags.writeable for array in (*first, *second))


def test_another_archive_in_its_place_is_decoded(archive, records, pack):
    load(archive)
    records["test_batch"][:, 5] ^= 255
    pack(archive, records)
    assert_equal(load(archive).test_x[:, 0, 0, 4], records["test_batch"][:, 5])


@pytest.mark.parametrize("damage", ["another", "truncated", "empty"])
def test_an_archive_that_is_not_the_official_one_is_told(archive, damage):
    content = archive.read_bytes()
    archive.write_bytes({"another": content + b"\0", "truncated": content[:-9], "empty": b""}[damage])
    with pytest.raises(
        InputError, match=rf"must be the official .* whose MD5 is {images.MD5}; got [0-9a-f]{{32}}\. Remove"
    ):
        load(archive)
    assert [*archive.parent.iterdir()] == [archive]


def test_the_official_archive_is_named_as_its_publisher_does():
    assert images.URL == "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    assert images.MD5 == "c32a1d4ab5d03f1284b67883e8d87530"


# fetching it


@pytest.fixture
def address(archive, monkeypatch):
    """The archive at an address, in a folder of its own."""
    (archive.parent / "there").mkdir()
    there = archive.rename(archive.parent / "there" / images.NAME)
    monkeypatch.setattr(images, "URL", there.as_uri())
    return there


def test_nothing_is_fetched_unless_told_to(address, tmp_path):
    with pytest.raises(InputError, match="With download=True the archive is fetched from"):
        load(tmp_path / "here")
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("target", ["here/deep", f"here/{images.NAME}"])
def test_it_is_fetched_once(address, tmp_path, target):
    found = load(tmp_path / target, download=True)
    assert_equal(found, load(address))
    address.unlink()
    assert_equal(load(tmp_path / target, download=True), found)


def test_what_is_not_the_official_archive_is_not_kept(address, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MD5", "0" * 32)
    with pytest.raises(InputError, match=r"what file:.* sent must be the official .*; got [0-9a-f]{32}\. Try again"):
        load(tmp_path / "here", download=True)
    assert [*(tmp_path / "here").iterdir()] == []


def test_an_address_without_answer_is_told(address, tmp_path):
    address.unlink()
    with pytest.raises(InputError, match=r"could not be fetched from file:.*; put it at .*, or give a folder"):
        load(tmp_path / "here", download=True)
    assert [*(tmp_path / "here").iterdir()] == []


# folders of images


def test_a_folder_is_read_in_the_order_of_its_names(folder):
    path, pixels = folder
    found = load(path)
    expected = {part: [p for p in sorted(pixels) if p.parent.parent.name == part] for part in ("train", "test")}
    for x, y, files in ((*found[:2], expected["train"]), (*found[2:], expected["test"])):
        np.testing.assert_array_equal(x, np.stack([pixels[file].transpose(2, 0, 1) for file in files]))
        assert [CLASSES[label] for label in y] == [file.parent.name for file in files]
    assert [array.dtype.name for array in found] == ["uint8", "int64"] * 2
    assert all(array.flags.c_contiguous for array in found)


def test_a_folder_is_decoded_once_and_again_when_it_has_changed(folder, monkeypatch):
    path, _ = folder
    first = load(path)
    decode = images._from_files
    monkeypatch.setattr(images, "_from_files", never)
    assert_equal(load(path), first)
    monkeypatch.setattr(images, "_from_files", decode)
    Image.new("RGB", (32, 32)).save(path / "train" / "cat" / "9999.png")
    assert len(load(path).train_y) == len(first.train_y) + 1


@pytest.mark.parametrize("damage", ["truncated", "a folder", "of something else"])
def test_kept_arrays_that_are_damaged_are_made_anew(folder, damage):
    path, _ = folder
    first, kept = load(path), path / "images.safetensors"
    if damage == "truncated":
        kept.write_bytes(kept.read_bytes()[:-7])
    elif damage == "of something else":
        images.write_arrays(kept, {"files": "another"}, {"train_x": first.test_x})
    else:  # where nothing can be written either
        kept.unlink()
        (kept / "inside").mkdir(parents=True)
    assert_equal(load(path), first)


@pytest.mark.parametrize("fault", [OSError, SafetensorError], ids=lambda fault: fault.__name__)
def test_arrays_that_cannot_be_kept_are_made_each_time(folder, fault, monkeypatch):
    def full(*_):
        raise fault("No space left on device")

    path, _ = folder
    monkeypatch.setattr(images, "write_arrays", full)
    assert_equal(load(path), load(path))
    assert {file.name for file in path.iterdir()} == {"train", "test"}


@pytest.mark.parametrize("kind", ["jpg", "JPEG", "png"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_files_of_every_kind_become_colours(folder, kind, mode):
    path, _ = folder
    if mode == "P" and kind != "png":
        mode = "CMYK"  # JPEG knows no palettes
    Image.new("RGB", (32, 32), (102, 102, 102)).convert(mode).save(path / "test" / "cat" / f"another.{kind}")
    (path / "test" / "cat" / "notes.txt").write_text("no image")
    x, y = load(path)[2:]
    assert y.tolist() == [0, 1, 1, 2]
    assert np.abs(x[2].astype(int) - 102).max() <= 3


def test_the_archive_comes_before_a_folder_beside_it(folder, records, pack):
    path, _ = folder
    load(path)
    archive = pack(path / images.NAME, records)
    assert_equal(load(path).test_y, records["test_batch"][:, 0])
    archive.unlink()
    assert len(load(path).test_y) == len(CLASSES)


def test_what_is_no_image_is_told(folder):
    path, _ = folder
    file = path / "train" / "cat" / "0001.png"
    content = file.read_bytes()
    for damaged in (b"no image", b"", content[:-60], content[:60]):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=r"0001\.png must be an image that can be read"):
            load(path)


def test_an_image_of_another_size_is_told(folder):
    path, _ = folder
    Image.new("RGB", (28, 30)).save(path / "test" / "truck" / "small.png")
    with pytest.raises(InputError, match=r"images must be 32 x 32 pixels; .*small\.png has 28 x 30\."):
        load(path)


def test_classes_of_one_half_only_are_told(folder):
    path, _ = folder
    (path / "train" / "cat").rename(path / "train" / "dog")
    with pytest.raises(InputError, match="only one of them has images of cat, dog"):
        load(path)


def test_a_folder_without_images_is_told(folder, tmp_path):
    path, pixels = folder
    for file in pixels:
        if "test" in file.parts:
            file.unlink()
    with pytest.raises(InputError, match=r"test must hold folders of images, one a class"):
        load(path)


@pytest.mark.parametrize("name", ["nowhere", "elsewhere.tar.gz", "file"])
def test_a_source_without_anything_is_told(tmp_path, name):
    (tmp_path / "file").write_text("neither")
    with pytest.raises(InputError, match=rf"`source` must be cifar-10-binary\.tar\.gz, .*; got .*{name}\."):
        load(tmp_path / name)


# splitting and scaling


@pytest.fixture
def many(rng):
    """400 images to train on, of four classes in unequal shares, each with its number in its first two pixels."""
    x = rng.integers(0, 256, (400, 3, 32, 32), np.uint8)
    x[:, 0, 0, 0], x[:, 0, 0, 1] = np.divmod(np.arange(400), 256)
    return Images(x, rng.choice(4, 400, p=[0.1, 0.2, 0.3, 0.4]), x[:20] // 2, np.arange(20) % 4)


def numbers(examples):
    return examples.x[:, 0, 0, 0].astype(int) * 256 + examples.x[:, 0, 0, 1]


def test_validation_images_are_taken_out_of_the_training_images_by_class(many):
    data = split(many, n_validation=100)
    assert sorted([*numbers(data.train), *numbers(data.validation)]) == [*range(400)]
    for part in (data.train, data.validation):
        np.testing.assert_array_equal(part.y, many.train_y[numbers(part)])
    shares = np.bincount(many.train_y) / 4
    assert np.abs(np.bincount(data.validation.y) - shares).max() <= 1
    assert_equal((data.test.x, data.test.y), many[2:])


def test_a_split_depends_on_its_seed_alone(many):
    first, again, other = (numbers(split(many, n_validation=100, seed=s).validation).tolist() for s in (3, 3, 4))
    assert first == again != other


def test_numbers_have_mean_0_and_deviation_1_in_every_channel(many):
    x = many.train_x
    x[:, 1] //= 4
    scale = Scale.of(x)
    np.testing.assert_allclose(scale.mean, x.mean((0, 2, 3), np.float64), rtol=1e-12)
    np.testing.assert_allclose(scale.deviation, x.std((0, 2, 3), np.float64), rtol=1e-10)
    found = scale.numbers(torch.from_numpy(x))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(found.std((0, 2, 3)), torch.ones(3), rtol=0, atol=1e-4)


def test_examples_are_scaled_as_the_images_trained_on_are(many):
    data = split(many, n_validation=100)
    found = Scale.of(data.train.x).examples(data.test)
    mean, deviation = data.train.x.mean((0, 2, 3), np.float64), data.train.x.std((0, 2, 3), np.float64)
    expected = (data.test.x - mean.reshape(3, 1, 1)) / deviation.reshape(3, 1, 1)
    assert found.x.dtype == np.float32
    np.testing.assert_allclose(found.x, expected, atol=1e-5)
    np.testing.assert_array_equal(found.y, data.test.y)


# crops, flips and batches


def test_a_batch_is_moved_mirrored_and_then_scaled(rng):
    x = torch.from_numpy(rng.integers(0, 256, (6, 3, 32, 32), np.uint8))
    scale = Scale(np.array([1.0, 20.0, 300.0]), np.array([2.0, 4.0, 5.0]))
    found, pixels = (crop_and_flip(s, x, torch.Generator().manual_seed(1)) for s in (scale, AS_THEY_ARE))
    assert found.dtype == torch.float32
    mean, deviation = torch.tensor([[1.0, 20, 300], [2, 4, 5]]).view(2, 3, 1, 1)
    torch.testing.assert_close(found, (pixels - mean) / deviation)


def test_every_crop_and_flip_is_the_one_asked_for(rng):
    image = rng.integers(1, 256, (3, 6, 5), np.uint8)
    corner = torch.cartesian_prod(torch.arange(9), torch.arange(9)).repeat(2, 1)
    is_flipped = torch.arange(162) >= 81
    found = augmented(torch.from_numpy(image).expand(162, -1, -1, -1), corner, is_flipped).numpy()
    padded = np.pad(image, ((0, 0), (4, 4), (4, 4)))
    for crop, (top, left), flip in zip(found, corner.tolist(), is_flipped.tolist(), strict=True):
        expected = padded[:, top : top + 6, left : left + 5]
        np.testing.assert_array_equal(crop, expected[..., ::-1] if flip else expected)


def test_an_epoch_deals_every_image_once(training):
    batches = [*training.epoch(0)]
    assert [len(y) for _, y in batches] == [4, 4, 2]
    assert len(training) == 3
    x, y = dealt(batches)
    assert sorted(y.tolist()) == [*range(10)]
    # Each has its own colour, and black where it was moved.
    torch.testing.assert_close(x.amax((2, 3)), (y + 1.0)[:, None].expand(-1, 3))
    assert all(set(image.unique().tolist()) <= {0.0, label + 1.0} for image, label in zip(x, y.tolist(), strict=True))


@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_an_epoch_goes_on_from_any_batch(training, start):
    whole, rest = [*training.epoch(5)], [*training.epoch(5, start=start)]
    assert len(rest) == 3 - start
    for (x, y), (expected_x, expected_y) in zip(rest, whole[start:], strict=True):
        assert torch.equal(x, expected_x)
        assert torch.equal(y, expected_y)


def test_batches_depend_on_seed_and_epoch_alone(training):
    def dealt_with(seed, epoch):
        twin = replace(training, seed=seed)
        torch.manual_seed(seed + epoch + 1)
        torch.rand(3)
        return dealt(twin.epoch(epoch))

    first = dealt(training.epoch(2))
    assert all(map(torch.equal, first, dealt_with(7, 2)))
    for seed, epoch in ((7, 3), (8, 2), (2, 7), (8, 1)):
        x, y = dealt_with(seed, epoch)
        assert not torch.equal(y, first[1])
        assert not torch.equal(x[y.argsort()], first[0][first[1].argsort()])


def test_batches_leave_the_random_numbers_of_others_alone(training):
    before = torch.get_rng_state()
    dealt(training.epoch(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_all_crops_and_both_sides_are_equally_likely():
    n = 8100
    # One white pixel in the middle tells where the crop began; a grey one to its right whether it was flipped.
    x = np.zeros((n, 1, 32, 32), np.uint8)
    x[:, 0, 16, 15], x[:, 0, 16, 16] = 255, 100
    generator = torch.Generator().manual_seed(0)
    pixels = crop_and_flip(AS_THEY_ARE, torch.from_numpy(x).expand(-1, 3, -1, -1), generator)[:, 0]
    place = pixels.flatten(1).argmax(1)
    is_flipped = pixels.flatten(1).gather(1, (place + 1)[:, None])[:, 0] == 0
    column = torch.where(is_flipped, 31 - place % 32, place % 32)
    counts = torch.bincount((place // 32 - 12) * 9 + column - 11, minlength=81)
    assert len(counts) == 81
    assert (counts - n / 81).abs().max() < 5 * (n / 81) ** 0.5  # five standard deviations
    assert abs(is_flipped.float().mean().item() - 0.5) < 5 * 0.5 / n**0.5

"""CIFAR-10 (Krizhevsky 2009): read once and kept as arrays, split, scaled, and moved and mirrored to train on.

The images come from the official archive or from a folder of image files. n stands for images of 3 x 32 x 32 pixels.
"""

import hashlib
import shutil
import tarfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import numpy as np
import torch
from safetensors import SafetensorError
from torch.nn import functional as F
from tqdm import tqdm

from lowrank_kit.checks import InputError
from lowrank_kit.files import read_arrays, write_arrays, write_beside
from lowrank_kit.records import Data, Examples

__all__ = ["FOLDER", "Images", "Scale", "augmented", "crop_and_flip", "described", "load", "split"]

# Not the archive for Python, which holds pickles.
NAME = "cifar-10-binary.tar.gz"
URL = f"https://www.cs.toronto.edu/~kriz/{NAME}"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
FOLDER = Path("~/.cache/lowrank_kit/cifar10")

SIDE = 32
MARGIN = 4  # of black pixels, from which crops are taken
KINDS = (".jpg", ".jpeg", ".png")
PATIENCE_S = 60


class Images(NamedTuple):
    """Pixels x (n, 3, 32, 32), uint8, and labels y (n,), int64, in the order of the archive or of the file names."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


@dataclass(frozen=True, eq=False)
class Scale:
    """What makes pixels numbers of mean 0 and deviation 1, a channel each: `mean` and `deviation` (3,) of images."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> "Scale":
        """From the pixels x (n, 3, h, w), uint8, of the training images, exactly."""
        n, over = x[:, 0].size, (0, 2, 3)
        mean = x.sum(over, dtype=np.int64) / n
        square = np.square(x, dtype=np.uint16).sum(over, dtype=np.int64) / n
        return cls(mean, np.sqrt(square - mean**2))

    def numbers(self, x: torch.Tensor) -> torch.Tensor:
        """Pixels (n, 3, h, w) as float32, as a network takes them."""
        mean, deviation = (torch.from_numpy(v).float().view(3, 1, 1).to(x.device) for v in (self.mean, self.deviation))
        return (x.float() - mean) / deviation

    def examples(self, pixels: Examples) -> Examples:
        """Images to judge a network on: 12 kB each."""
        return Examples(self.numbers(torch.from_numpy(pixels.x)).numpy(), pixels.y)


def load(source: str | Path = FOLDER, *, download: bool = False) -> Images:
    """All images of CIFAR-10; what was decoded is kept beside the source, and read in a second from then on.

    Parameters
    ----------
    source : the official archive cifar-10-binary.tar.gz; a folder that holds it; or a folder of files
        train/<class>/*.jpg or *.png and test/<class>/*, the classes numbered by the alphabet, as the archive's are
    download : whether to fetch the archive from its official address, 170 MB, where it is missing

    Raises InputError where there are no images, where the archive is not the official one or can't be fetched, and
    for files that are no images of 32 x 32 pixels.
    """
    source = Path(source).expanduser()
    archive = source if source.suffix == ".gz" else source / NAME
    if download and not archive.exists():
        _fetch(archive)
    if archive.exists():
        return _kept(archive.with_suffix("").with_suffix(".safetensors"), [archive], lambda: _from_archive(archive))
    if (source / "train").is_dir():
        train, test = (_image_files(source / part) for part in ("train", "test"))
        return _kept(source / "images.safetensors", [*train, *test], lambda: _from_files(train, test))
    raise InputError(
        f"`source` must be {NAME}, a folder that holds it, or one with images in train/<class>/ and test/<class>/; "
        f"got {source}. With download=True the archive is fetched from {URL}."
    )


def described(source: str | Path) -> str:
    """What `load` reads there, for beside a figure."""
    source = Path(source).expanduser()
    if source.suffix == ".gz" or (source / NAME).exists():
        return "the official archive"
    kinds = sorted({path.suffix.lower().removeprefix(".") for path in (source / "test").glob("*/*")})
    lossy = "re-encoded, so not the original pixels" if {"jpg", "jpeg"} & {*kinds} else "decoded anew"
    return f"files ({', '.join(kinds)}), {lossy}"


def split(images: Images, *, n_validation: int = 5000, seed: int = 0) -> Data:
    """Pixels to train on, to choose on (taken out of the training images, by class) and to report on."""
    validation, train = Examples(images.train_x, images.train_y).stratified(n_validation, seed=seed)
    return Data("cifar10", validation, Examples(images.test_x, images.test_y), train)


def augmented(x: torch.Tensor, corner: torch.Tensor, is_flipped: torch.Tensor) -> torch.Tensor:
    """Images x (n, c, h, w), some of them mirrored, cropped out of a black margin of 4 pixels.

    `corner` (n, 2) says where each crop begins, from 0 to 8 rows and columns, so that (4, 4) is the image itself;
    `is_flipped` (n,) which are mirrored, left for right.
    """
    h, w = x.shape[-2:]
    crops = F.pad(x, (MARGIN,) * 4).unfold(2, h, 1).unfold(3, w, 1)
    cropped = crops[torch.arange(len(x)), :, corner[:, 0], corner[:, 1]]
    return torch.where(is_flipped.view(-1, 1, 1, 1), cropped.flip(3), cropped)


def crop_and_flip(scale: Scale, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Pixels (n, 3, h, w), uint8, as a network takes them in training: cropped and mirrored at random, scaled."""
    corner = torch.randint(2 * MARGIN + 1, (len(x), 2), generator=generator)
    is_flipped = torch.rand(len(x), generator=generator) < 0.5
    return scale.numbers(augmented(x, corner, is_flipped.to(x.device)))


def _kept(path: Path, files: Iterable[Path], read: Callable[[], Images]) -> Images:
    """What `read` makes of the files; from `path`, where that was written and the files are still the same."""
    stamp = _stamp(files)
    with suppress(InputError):
        words, arrays = read_arrays(path)
        if words.get("files") == stamp:
            return Images(**arrays)
    images = read()
    # Where nothing can be written, the files are read anew each time.
    with suppress(OSError, SafetensorError):
        write_arrays(path, {"files": stamp}, images._asdict())
    return images


def _stamp(files: Iterable[Path]) -> str:
    """SHA-256 over the names, sizes and times of files."""
    digest = hashlib.sha256()
    for file in files:
        facts = file.stat()
        digest.update(f"{'/'.join(file.parts[-3:])} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _fetch(archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    write_beside(archive, partial(_download, archive))


def _download(archive: Path, part: Path) -> None:
    try:
        with urlopen(URL, timeout=PATIENCE_S) as response, part.open("wb") as file:
            size = int(response.headers.get("Content-Length", 0)) or None
            with tqdm.wrapattr(response, "read", total=size, desc=NAME, disable=None) as counted:
                shutil.copyfileobj(counted, file)
    except (OSError, HTTPException) as fault:
        raise InputError(
            f"{NAME} could not be fetched from {URL} ({fault}); put it at {archive}, or give a folder of images."
        ) from None
    _check_hash(part, f"what {URL} sent", "Try again.")


def _check_hash(path: Path, name: str, cure: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
    if found != MD5:
        raise InputError(f"{name} must be the official {NAME}, whose MD5 is {MD5}; got {found}. {cure}")


def _from_archive(archive: Path) -> Images:
    _check_hash(archive, str(archive), "Remove it and load with download=True.")
    with tarfile.open(archive) as tar:
        found = {Path(member.name).stem: _content(tar, member) for member in tar if member.isfile()}
    train = b"".join(found[f"data_batch_{i}"] for i in range(1, 6))
    return Images(*_records(train), *_records(found["test_batch"]))


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return b"" if file is None else file.read()


def _records(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """An image is one byte for its label and then its red, green and blue pixels, row by row."""
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + 3 * SIDE**2)
    return records[:, 1:].reshape(-1, 3, SIDE, SIDE).copy(), records[:, 0].astype(np.int64)


def _image_files(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in KINDS)
    if not found:
        raise InputError(f"{folder} must hold folders of images, one a class ({', '.join(KINDS)}); found none.")
    return found


def _from_files(train: list[Path], test: list[Path]) -> Images:
    classes = [sorted({path.parent.name for path in files}) for files in (train, test)]
    if classes[0] != classes[1]:
        names = ", ".join(sorted({*classes[0]} ^ {*classes[1]}))
        raise InputError(f"train/ and test/ must hold the same classes; only one of them has images of {names}.")
    number = {name: i for i, name in enumerate(classes[0])}
    arrays = []
    for files in (train, test):
        pixels = [_pixels(path) for path in tqdm(files, desc="images", disable=None)]
        arrays += [np.stack(pixels).copy(order="C"), np.array([number[path.parent.name] for path in files])]
    return Images(*arrays)


def _pixels(path: Path) -> np.ndarray:
    """An image file as (3, 32, 32), uint8."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as fault:  # what Pillow raises, by the place of the damage
        raise InputError(f"{path} must be an image that can be read; {fault}.") from None
    if pixels.shape[:2] != (SIDE, SIDE):
        h, w = pixels.shape[:2]
        raise InputError(f"images must be {SIDE} x {SIDE} pixels; {path} has {w} x {h}. Resize them first.")
    return pixels.transpose(2, 0, 1)

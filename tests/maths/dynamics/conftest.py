import numpy as np
import pytest


@pytest.fixture(scope="session")
def gaussian():
    """(d, r, K=d) -> a Gaussian matrix (K, d) cut to rank r, drawn from no seed that starts have."""

    def cut(d, r, K=None):
        U, S, Vh = np.linalg.svd(np.random.default_rng(100).standard_normal((K or d, d)), full_matrices=False)
        return (U[:, :r] * S[:r]) @ Vh[:r]

    return cut

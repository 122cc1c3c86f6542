import os

import pytest

from benchmarks.browser import chromium, chromium_path


@pytest.fixture(scope="session")
def browser():
    if chromium_path() is None and not os.environ.get("CI"):
        pytest.skip("needs Chromium")
    with chromium() as browser:
        yield browser

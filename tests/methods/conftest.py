"""What the tests of trainings share stands in modules beside this file."""

import pytest

# Before a test imports it, so that its assertions tell what differs as those of tests do.
pytest.register_assert_rewrite("tests.methods.states")

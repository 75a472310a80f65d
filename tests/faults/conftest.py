import pytest

from stage import Stage


@pytest.fixture(scope="session")
def stage(tmp_path_factory):
    """One for all trials: each starts only what it injects faults into."""
    with Stage(tmp_path_factory.mktemp("faults")) as one:
        yield one

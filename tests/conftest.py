"""Fixtures that several packages share."""

import pytest

from consilience.data import planted_market


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The result of one small training of all eight members."""
    from consilience.training import train
    from tests.training.markets import small_config

    return train(small_config(tmp_path_factory.mktemp("trained")))


@pytest.fixture(scope="session")
def planted_bars():
    """The bars that ``trained`` was trained on."""
    return planted_market(0, n_bars=720)[0]

"""How many examples a property is tried on: few in the suite, many in ``make soak``."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SUITE, SOAK = 200, 2000


def holds_for(*strategies: st.SearchStrategy[Any], suite: int = SUITE) -> Callable[[Callable[..., None]], Any]:
    """Decorates a check of drawn values: a test with ``suite`` examples, and a slow one with ``SOAK``."""

    def decorate(check: Callable[..., None]) -> Any:
        @pytest.mark.parametrize(
            "examples", [pytest.param(suite, id="suite"), pytest.param(SOAK, id="soak", marks=pytest.mark.slow)]
        )
        def test(examples: int) -> None:
            quick = settings(
                max_examples=examples,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            quick(given(*strategies)(check))()

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        return test

    return decorate

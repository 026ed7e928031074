import jaxtyping
import pytest


@pytest.fixture
def as_users_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns off the shape checks of the tests, so that bad input meets chronosim's own checks."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)

import pytest

from chronosim.studio.sessions import NoRoom, NoSession, Sessions


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_sessions_in_use_are_never_dropped() -> None:
    sessions = Sessions(2, clock=Clock())
    sessions.new()
    sessions.new()
    with pytest.raises(NoRoom, match="all 2 sessions of this studio are in use"):
        sessions.new()


def test_the_one_unused_for_longest_makes_room() -> None:
    clock = Clock()
    sessions = Sessions(2, clock=clock)
    old, other = sessions.new(), sessions.new()
    clock.now = 500.0
    sessions.get(old.key)
    clock.now = 700.0
    third = sessions.new()
    assert sessions.get(old.key) is old
    assert sessions.get(third.key) is third
    with pytest.raises(NoSession):
        sessions.get(other.key)


def test_one_that_its_page_left_goes_first_but_can_be_come_back_to() -> None:
    sessions = Sessions(2, clock=Clock())
    mine, yours = sessions.new(), sessions.new()
    sessions.leave(mine.key)
    assert sessions.get(mine.key) is mine
    sessions.leave(yours.key)
    sessions.new()
    with pytest.raises(NoSession):
        sessions.get(yours.key)


def test_ids_cannot_be_guessed() -> None:
    keys = {Sessions(1).new().key for _ in range(50)}
    assert len(keys) == 50
    assert min(map(len, keys)) >= 24

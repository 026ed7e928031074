from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.episodes import EpisodeReader, list_episodes, verify
from chronosim.errors import (
    EpisodeExists,
    EpisodeWriteError,
    InvalidAction,
    InvalidConfig,
    InvalidEpisode,
    InvalidFrame,
)
from chronosim.formats.atomic import MARK
from chronosim.formats.columns import EpisodeColumns, FrameSource, make_columns
from chronosim.formats.exporting import export_dataset
from chronosim.formats.importing import (
    LAST_ROW,
    Contents,
    Conversion,
    ImportReport,
    import_dataset,
)
from chronosim.formats.resampling import resample
from chronosim.prompters.driving import Driving
from chronosim.settings import parts as config
from chronosim.types import Frame
from tests.formats.conftest import Maker, picture, readers


def recording(rows: int = 6, *, closed: bool = True, **columns: Any) -> EpisodeColumns:
    """Rows whose frames, states and actions all say their number."""
    size = columns.pop("size", (4, 6))
    shots = [np.full((*size, 3), row, np.uint8) for row in range(rows + closed)]
    states = np.arange(rows + closed, dtype=np.float32)[:, None]
    return make_columns(
        columns.pop("name", "one"),
        FrameSource(lambda: iter(shots)),
        columns.pop("actions", np.arange(rows, dtype=np.float32)[:, None]),
        closed=closed,
        fps=columns.pop("fps", 10.0),
        states=columns.pop("states", states),
        texts=[f"row {row}" for row in range(rows)],
        rewards=np.ones(rows),
        terminated=np.arange(rows) == rows - 1,
        **columns,
    )


def _same(found: EpisodeColumns) -> EpisodeColumns:
    return found


class Given:
    """A format whose data sets hold these recordings."""

    def __init__(self, *recordings: EpisodeColumns) -> None:
        self.recordings = recordings

    def read(self, source: Path) -> Contents:
        return Contents([partial(_same, one) for one in self.recordings], ("the smell",))


def imported(folder: Path, found: EpisodeColumns, **conversion: Any) -> EpisodeReader:
    import_dataset(folder, folder / "out", Given(found), Conversion(**conversion), progress=False)
    return readers(folder / "out")[0]


def frames_of(found: EpisodeColumns) -> list[int]:
    return [int(frame[0, 0, 0]) for frame in found.frames]


@pytest.mark.parametrize(
    ("fps", "closed", "frames", "actions", "rewards"),
    [
        (10, True, [0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5], [1] * 6),
        (5, True, [0, 2, 4, 6], [0, 2, 4], [2, 2, 2]),
        (5, False, [0, 2, 4], [0, 2, 4], [2, 2, 2]),
        (20 / 3, True, [0, 1, 3, 4, 6], [0, 1, 3, 4], [1, 2, 1, 2]),
        (4, True, [0, 2, 5], [0, 2], [2, 4]),
        (4, False, [0, 2, 5], [0, 2], [2, 4]),
        (
            20,
            True,
            [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6],
            [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5],
            None,
        ),
        (0.1, True, [0, 6], [0], [6]),
    ],
)
def test_resampling_holds_actions_and_keeps_rewards(
    fps: float, closed: bool, frames: list[int], actions: list[int], rewards: list[int] | None
) -> None:
    found = resample(recording(closed=closed), fps)
    assert frames_of(found) == frames_of(found) == frames
    assert found.actions.reshape(-1).tolist() == actions
    assert found.states.reshape(-1).tolist() == frames
    assert found.texts == tuple(f"row {row}" for row in actions)
    assert found.rewards.sum() == 6
    assert rewards is None or found.rewards.tolist() == rewards
    assert found.terminated.tolist() == [False] * (len(actions) - 1) + [True]
    assert found.fps == fps


@pytest.mark.parametrize(
    ("action", "expected"), [("first", [0, 2, 4]), ("mean", [0.5, 2.5, 4.5]), ("sum", [1, 5, 9])]
)
def test_a_step_of_several_rows(tmp_path: Path, action: str, expected: list[float]) -> None:
    reader = imported(tmp_path, recording(), rows_per_step=2, action=action)
    assert reader.column("action").reshape(-1).tolist() == expected
    assert reader.column("reward").tolist() == [2, 2, 2]
    assert [reader.trajectory(i)[:, 0, 0, 0].tolist() for i in range(3)] == [[1, 2], [3, 4], [5, 6]]
    assert reader.states.reshape(-1).tolist() == [0, 2, 4, 6]
    assert reader.column("text").tolist() == ["row 0", "row 2", "row 4"]
    assert reader.about["seconds_per_step"] == 0.2
    assert reader.about["conversion"]["action"] == action


def test_every_conversion_is_noted(tmp_path: Path) -> None:
    conversion = {
        "size": [8, 12],
        "source_fps": 12.0,
        "fps": 6.0,
        "rows_per_step": 3,
        "action": "chunk",
        "text": "as one likes",
        "synthetic": True,
    }
    reader = imported(tmp_path, recording(12, fps=None), **conversion)
    assert reader.about["conversion"] == conversion
    assert reader.about["seconds_per_step"] == 0.5
    assert reader.about["source_fps"] == 12
    assert reader.about["synthetic"] is True
    assert reader.frames.shape == (3, 8, 12, 3)
    assert reader.column("action").shape == (2, 3, 1)
    assert reader.column("text").tolist() == ["as one likes"] * 2


def test_what_is_left_behind_is_said(tmp_path: Path) -> None:
    given = Given(recording(12, closed=False, fps=12.0))
    report = import_dataset(
        tmp_path, tmp_path / "out", given, Conversion(rows_per_step=3, fps=11), progress=False
    )
    assert set(report.lost) == {
        LAST_ROW,
        "rows between those of the new rate",
        "rows at the end that make no whole step (their rewards and ends count to the last one)",
        "the actions of single rows (a step has: first)",
        "the rewards of single rows (a step has their sum)",
        "the smell",
        "the states within a step",
        "the words of single rows",
    }
    assert "left behind: " in str(report)


@pytest.mark.parametrize(("rows", "per_step"), [(6, 1), (7, 3), (8, 3)])
def test_success_in_the_last_row_is_not_lost(tmp_path: Path, rows: int, per_step: int) -> None:
    """No step can hold the row, but its reward and its end decide what the episode was worth."""
    given = recording(rows, closed=False, success=np.arange(rows) == rows - 1)
    reader = imported(tmp_path, given, rows_per_step=per_step)
    assert reader.success.tolist() == [0] * (reader.steps - 1) + [1]
    assert reader.column("reward").sum() == given.rewards.sum()
    assert reader.column("terminated").tolist() == [False] * (reader.steps - 1) + [True]
    before = reader.about["unused_row"]["before"]
    assert before == {"reward": per_step, "terminated": False, "truncated": False, "success": 0}


def columns(**given: Any) -> EpisodeColumns:
    frames = FrameSource(lambda: iter([picture(0, (4, 6))] * 3))
    return make_columns("one", frames, np.zeros((2, 1)), closed=True, **given)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"rewards": np.array(["much", "more"])}, "the rewards of one must be numbers"),
        ({"states": np.array([["a"]] * 3)}, "the states of one must be numbers"),
        ({"states": [[1.0], [1.0, 2.0], [3.0]]}, "the states of one are of several widths"),
        ({"seeds": np.array([0.5, 1])}, "seeds of one must be whole numbers .* row 0 has 0.5"),
        ({"seeds": np.array([0, 2**63], "u8")}, "row 1 has 9223372036854775808"),
        ({"terminated": np.array([0, 2])}, "terminated of one must be true or false, .* has 2"),
        ({"texts": ["left", "\udcff"]}, "words of one at row 1 are no UTF-8"),
        ({"texts": ["left", None]}, "words of one at row 1 are no text: None"),
        ({"fps": float("nan")}, "rows a second above 0, not nan"),
        ({"about": [1]}, r"must be a JSON object, not \[1\]"),
    ],
)
def test_values_that_a_column_would_change(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidEpisode, match=sentence):
        columns(**given)


def test_a_seed_that_is_not_known_is_none() -> None:
    assert columns(seeds=np.array([np.nan, 7])).seeds.tolist() == [0, 7]


def test_states_that_are_rounded_are_said() -> None:
    assert columns(states=np.full((3, 1), 0.5)).lost == ()
    assert columns(states=np.full((3, 1), 0.1)).lost == (
        "digits of states: float64 became float32",
    )


def test_a_rate_that_is_given_leaves_nothing_behind(tmp_path: Path) -> None:
    given, conversion = Given(recording(4, fps=None)), Conversion(source_fps=5)
    report = import_dataset(tmp_path, tmp_path / "out", given, conversion, progress=False)
    assert "rows between those of the new rate" not in report.lost


def test_a_rate_that_contradicts_the_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="source_fps=30 contradicts one, which says 10"):
        imported(tmp_path, recording(), source_fps=30.0)
    assert imported(tmp_path, recording(), source_fps=10.0).about["source_fps"] == 10


@pytest.mark.parametrize(
    ("address", "fetch"),
    [
        (
            "hf://datasets/lerobot/pusht",
            "hf download --repo-type dataset lerobot/pusht --local-dir",
        ),
        ("s3://bucket/sets/pusht", "copy it to a folder first, such as pusht"),
    ],
)
def test_an_address_is_fetched_first(tmp_path: Path, address: str, fetch: str) -> None:
    with pytest.raises(InvalidConfig, match=f"{address} is an address.*{fetch}"):
        import_dataset(address, tmp_path / "out", Given(recording()), progress=False)


def test_a_prompter_words_the_actions(tmp_path: Path) -> None:
    driving = recording(actions=np.array([[0.5, 0.2, 0.0]] * 6, np.float32))
    prompter = Driving()
    import_dataset(tmp_path, tmp_path / "out", Given(driving), prompter=prompter, progress=False)
    reader = readers(tmp_path / "out")[0]
    words, state = prompter(reader.observation(0), driving.actions[0])
    assert reader.column("text")[0] == words
    np.testing.assert_array_equal(reader.states[1], state)
    assert reader.about["prompter"] == repr(prompter)


def test_frames_are_fitted_not_stretched(dataset: Maker, tmp_path: Path) -> None:
    source = dataset(size=(32, 64), steps=2)
    export_dataset(source, tmp_path / "out", config.load("export", "robomimic"), progress=False)
    conversion = Conversion(size=(16, 16))
    importer = config.load("import", "robomimic")
    import_dataset(tmp_path / "out", tmp_path / "back", importer, conversion, progress=False)
    ours, theirs = readers(source)[0].frames, readers(tmp_path / "back")[0].frames
    middle = ours[:, :, 16:48].reshape(3, 16, 2, 16, 2, 3).mean((2, 4))
    assert np.abs(middle - theirs).max() <= 1


@pytest.mark.parametrize(
    ("conversion", "sentence"),
    [
        ({"rows_per_step": 0}, "1 or more, not 0"),
        ({"action": "last"}, "first, chunk, mean, sum, not 'last'"),
        ({"fps": 0.0}, "above 0, not 0"),
        ({"source_fps": float("nan")}, "above 0, not nan"),
        ({"size": [8]}, "height and a width"),
        ({"size": [8, 0]}, "height and a width"),
    ],
)
def test_conversions_that_cannot_work(conversion: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidConfig, match=sentence):
        Conversion(**conversion)


def test_recordings_that_cannot_be_converted(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="source_fps"):
        imported(tmp_path, recording(fps=None), fps=5)
    with pytest.raises(InvalidEpisode, match="6 rows, too few for a step of 9"):
        imported(tmp_path, recording(), rows_per_step=9)
    words = recording(actions=np.array(["left"] * 6))
    with pytest.raises(InvalidAction, match="have no mean"):
        imported(tmp_path, words, rows_per_step=2, action="mean")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"size": (8, 6)}, r"two has frames \(8, 6\), but one has \(4, 6\).*frame_size="),
        ({"actions": np.zeros((6, 2))}, r"two has actions \(2,\), but one has \(1,\)"),
        ({"actions": np.array(["left"] * 6)}, "two has actions words, but one has"),
        ({"states": np.zeros((7, 3))}, r"two has states \(3,\), but one has \(1,\)"),
    ],
)
def test_episodes_that_are_not_alike(tmp_path: Path, other: dict[str, Any], sentence: str) -> None:
    given = Given(recording(), recording(name="two", **other))
    with pytest.raises(InvalidEpisode, match=sentence):
        import_dataset(tmp_path, tmp_path / "out", given, progress=False)
    assert list(tmp_path.iterdir()) == []


def broken() -> EpisodeColumns:
    """An episode that cannot be read, though those beside it can."""
    raise InvalidEpisode("its table is torn")


def torn_frames() -> Iterator[Frame]:
    yield np.zeros((4, 6, 3), np.uint8)
    raise InvalidFrame("frame 1 cannot be decoded")


class Lazily:
    """A format whose data sets hold what these functions read."""

    def __repr__(self) -> str:
        return "Lazily()"

    def __init__(self, *read: Callable[[], EpisodeColumns]) -> None:
        self.reads = read

    def read(self, source: Path) -> Contents:
        return Contents(list(self.reads))


def test_bad_episodes_are_left_out_and_named(tmp_path: Path) -> None:
    torn = replace(recording(), frames=FrameSource(torn_frames))
    odd = recording(name="odd", size=(8, 6))
    given = Lazily(broken, lambda: torn, recording, lambda: odd, recording)
    with pytest.raises(InvalidEpisode, match=r"its table is torn \(skip_bad=true leaves"):
        import_dataset(tmp_path, tmp_path / "out", given, progress=False)
    assert list(tmp_path.iterdir()) == []
    report = import_dataset(tmp_path, tmp_path / "out", given, skip_bad=True, progress=False)
    assert (report.episodes, report.steps) == (2, 12)
    assert [sentence.partition(":")[0] for sentence in report.skipped] == [
        "episode 0",
        "episode 1",
        "episode 3",
    ]
    assert "left out: episode 1: frame 1 cannot be decoded" in str(report)
    assert [path.name for path in list_episodes(report.path)] == ["0000002", "0000004"]
    assert all(verify(path) == [] for path in list_episodes(report.path))


def test_where_no_episode_is_good_nothing_is_written(tmp_path: Path) -> None:
    out, given = tmp_path / "a" / "b" / "out", Lazily(broken)
    with pytest.raises(InvalidEpisode, match=r"no episode .* episode 0: its table is torn"):
        import_dataset(tmp_path, out, given, skip_bad=True, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_what_an_episode_alone_holds_is_left_behind_and_kept_in_its_log(tmp_path: Path) -> None:
    exact, fine = np.full((7, 1), 0.5), np.full((7, 1), 0.1)
    given = Given(recording(states=exact, lost=["its mask"]), recording(states=fine))
    report = import_dataset(tmp_path, tmp_path / "out", given, progress=False)
    digits = "digits of states: float64 became float32"
    assert report.lost == (digits, "its mask", "the smell")
    said = [reader.about["left_behind"] for reader in readers(report.path)]
    assert said == [["its mask", "the smell"], [digits, "the smell"]]


def test_frames_that_are_fitted_may_differ(tmp_path: Path) -> None:
    given = Given(recording(), recording(size=(8, 6)))
    fitted = Conversion(size=(4, 4))
    report = import_dataset(tmp_path, tmp_path / "out", given, fitted, progress=False)
    assert [reader.frames.shape[1:] for reader in readers(report.path)] == [(4, 4, 3)] * 2


@pytest.mark.parametrize(
    ("rows", "conversion", "expected"),
    [
        (6, {}, {"action": [5], "reward": 1, "text": "row 5", "gap": 0}),
        (6, {"text": "as one likes"}, {"action": [5], "text": None}),
        (7, {"rows_per_step": 3}, {"action": [6], "reward": 1, "gap": 0}),
        (6, {"rows_per_step": 3}, {"action": [5], "reward": 1, "gap": 2}),
        (6, {"fps": 5}, {"action": [4], "reward": 2, "gap": 0}),
        (6, {"fps": 4}, None),
    ],
)
def test_a_row_without_an_outcome_is_kept_whole(
    tmp_path: Path, rows: int, conversion: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    reader = imported(tmp_path, recording(rows, closed=False), **conversion)
    unused = reader.about["unused_row"]
    if expected is None:  # at that rate there is a frame after the last action
        assert unused is None
    else:
        assert unused == unused | expected | {"terminated": True, "truncated": False}


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"model": {"name": "nano"}, "synthetic": True}, "nano via theirs"),
        ({"source": "gym_pusht/PushT-v0", "synthetic": False}, "gym_pusht/PushT-v0 via theirs"),
        ({"synthetic": True}, "theirs (synthetic)"),
        ({"robot_type": "so100"}, "theirs"),
    ],
)
def test_imported_episodes_name_their_world(
    tmp_path: Path, about: dict[str, Any], said: str
) -> None:
    (tmp_path / "theirs").mkdir()
    given = Given(recording(about=about))
    import_dataset(tmp_path / "theirs", tmp_path / "out", given, progress=False)
    assert readers(tmp_path / "out")[0].about["source"] == said


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    imported(tmp_path, recording())
    with pytest.raises(EpisodeExists, match="or --force"):
        imported(tmp_path, recording(3))
    assert readers(tmp_path / "out")[0].steps == 6


def test_an_interrupted_import_goes_on(tmp_path: Path) -> None:
    one, other, changed = (recording(rows, name=str(rows)) for rows in (6, 7, 8))
    out, source = tmp_path / "out", tmp_path / "theirs"
    source.mkdir()

    def stopped() -> EpisodeColumns:
        raise KeyboardInterrupt

    def run(*reads: Callable[[], EpisodeColumns], **conversion: Any) -> ImportReport:
        chosen = Conversion(**conversion)
        return import_dataset(source, out, Lazily(*reads), chosen, progress=False)

    def given(found: EpisodeColumns) -> Callable[[], EpisodeColumns]:
        return partial(_same, found)

    with pytest.raises(KeyboardInterrupt) as stop:
        run(given(one), given(other), stopped)
    [note] = stop.value.__notes__
    assert "what was finished is kept in" in note
    assert ".out.part: the same command goes on" in note
    assert [path.name for path in list_episodes(tmp_path / ".out.part/data")] == [
        "0000000",
        "0000001",
    ]
    with pytest.raises(KeyboardInterrupt):  # what the source has changed meanwhile is read again
        run(given(one), given(changed), stopped)
    report = run(given(one), given(changed), given(one))
    assert report.resumed == 2
    assert "(2 of them made by an import that was broken off)" in str(report)
    assert [reader.steps for reader in readers(out)] == [6, 8, 6]
    assert [frames[0, 0, 0] for frames in readers(out)[1].frames] == list(range(9))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "theirs"]


def test_what_no_longer_fits_a_broken_off_import_is_made_anew(tmp_path: Path) -> None:
    source, part = tmp_path / "theirs", tmp_path / ".out.part" / "data"
    source.mkdir()
    import_dataset(source, part, Given(recording(), recording(name="b")), progress=False)
    (part / MARK).unlink()
    chosen = Conversion(rows_per_step=2)
    report = import_dataset(source, tmp_path / "out", Given(recording()), chosen, progress=False)
    assert report.resumed == 0
    assert [reader.steps for reader in readers(tmp_path / "out")] == [3], "b is gone too"
    import_dataset(source, part, Given(recording()), chosen, progress=False)
    (part / MARK).unlink()
    (source / "new").write_text("changed")
    again = import_dataset(
        source, tmp_path / "out", Given(recording()), chosen, force=True, progress=False
    )
    assert again.resumed == 0, "the source was written to since"


def test_a_full_disk_leaves_nothing(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (7, 60, 60, 3), np.uint8)
    small = recording(size=(60, 60))
    large = replace(small, frames=FrameSource(lambda: iter(noise)))
    with full_disk(3000), pytest.raises(EpisodeWriteError, match="0000001 could not be written"):
        import_dataset(tmp_path, tmp_path / "out", Given(small, large), progress=False)
    assert list(tmp_path.iterdir()) == []

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import zarr
from upath import UPath

from chronosim.episodes import (
    EpisodeDataset,
    EpisodeReader,
    EpisodeWriter,
    list_episodes,
    repair,
    verify,
)
from chronosim.errors import EpisodeExists, EpisodeNotFound, InvalidEpisode, MissingDependency
from tests.episodes.bucket import Bucket

Write = Callable[..., Path]
Check = Callable[..., None]


@pytest.fixture(params=["memory", "file", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> UPath:
    """A place for a data set."""
    if request.param == "s3":
        request.getfixturevalue("bucket")
        return UPath("s3://episodes") / uuid4().hex
    return UPath(f"{request.param}://{tmp_path}/set")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A bucket named `episodes`; CHRONOSIM_S3 may name another endpoint that has one."""
    settings = {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret", "REGION": "us-east-1"}
    with nullcontext(os.environ.get("CHRONOSIM_S3")) as given, Bucket() as own:
        settings |= {"ENDPOINT": given or own.url, "ALLOW_HTTP": "true"}
        for name, value in settings.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        yield


def test_everything_behind_a_url(root: UPath, write: Write, check_steps: Check) -> None:
    source = EpisodeReader(write("source", 5))
    with EpisodeWriter(root / "one", source.observation(0), {}, compact=False) as writer:
        for step in source:
            writer.append(step)
            assert EpisodeReader(root / "one").steps == writer.steps
    with pytest.raises(EpisodeExists):
        EpisodeWriter(root / "one", source.observation(0), {})
    check_steps(root / "one")
    writer._compact = True
    writer.close()
    [place] = list_episodes(root)
    assert place.name == "one"
    reader = EpisodeReader(place)
    assert (reader.steps, reader.finished, reader.compacted) == (5, True, True)
    check_steps(place)
    assert verify(place) == []
    data = EpisodeDataset(root, horizon=2)
    assert np.array_equal(data[2]["frames"], source.frames[2:5])


def test_repair_behind_a_url(tmp_path: Path, write: Write, check_steps: Check) -> None:
    place = UPath(f"memory://{tmp_path}/set/one")
    source = EpisodeReader(write("source", 9))
    with EpisodeWriter(place, source.observation(0), {}, compact=False) as writer:
        for step in source:
            writer.append(step)
    (place / "live/frames/c.4.0.0.0").unlink()
    assert [damage.kind for damage in verify(place)] == ["missing chunk"]
    done = repair(place)
    assert (done.kept, len(done.episodes)) == (3, 1)
    check_steps(place)
    check_steps(done.episodes[0], first=5)
    assert [one.name for one in list_episodes(place.parent)] == ["one", "one-from-5"]


def test_what_cannot_be_reached(tmp_path: Path) -> None:
    with pytest.raises(EpisodeNotFound):
        list_episodes(f"memory://{tmp_path}/nothing")
    with pytest.raises(MissingDependency, match="nosuch://bucket"):
        EpisodeReader("nosuch://bucket/one")


def test_a_pipe_is_not_waited_for(write: Write) -> None:
    path = write("one")
    reader = EpisodeReader(path)
    [told] = path.glob("*/frames/zarr.json")
    told.unlink()
    os.mkfifo(told)
    with pytest.raises(InvalidEpisode, match=r"frames of .* holds zarr.json, which is no file"):
        _ = reader.frames


def test_any_zarr_reader_reads_an_episode(write: Write) -> None:
    path = write("one")
    reader = EpisodeReader(path)
    group = zarr.open_group(path, mode="r")
    data = group[str(group.attrs["data"])]
    assert isinstance(data, zarr.Group)
    assert np.array_equal(np.asarray(data["frames"]), reader.frames)
    assert np.asarray(data["records"]).shape == (21,)

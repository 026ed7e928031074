"""Data sets of other formats, imported beside where they lie."""

from pathlib import Path
from typing import Any

import pytest

from chronosim.errors import InvalidEpisode
from chronosim.formats.importing import ImportReport, import_dataset


def imported_by(importer: type, source: Path, **settings: Any) -> ImportReport:
    return import_dataset(source, source.with_name("out"), importer(**settings), progress=False)


def refused_by(
    importer: type, source: Path, sentence: str, error: Any = InvalidEpisode, **settings: Any
) -> None:
    with pytest.raises(error, match=sentence) as caught:
        imported_by(importer, source, **settings)
    assert "\n" not in str(caught.value)
    assert not source.with_name("out").exists()

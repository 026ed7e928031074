from pathlib import Path

import numpy as np
import pytest

from chronosim.errors import InvalidConfig, InvalidFrame
from chronosim.evaluation.editing import find_edits
from chronosim.frames import write_frame

GREY = np.full((8, 8, 3), 100, np.uint8)


def put(folder: Path, name: str, text: str = "Make it lighter.", after: str = "png") -> None:
    write_frame(folder / f"{name}.before.png", GREY)
    write_frame(folder / f"{name}.after.{after}", GREY + 50)
    (folder / f"{name}.txt").write_text(f"{text}\n")


def test_a_folder_is_read_by_names(tmp_path: Path) -> None:
    put(tmp_path, "0002", "Second.", "jpg")
    put(tmp_path, "a.b", "Third.")
    put(tmp_path, "0001", "First.")
    (tmp_path / "notes.txt").write_text("of no edit")
    edits = find_edits(tmp_path)
    assert [(edit.name, edit.text) for edit in edits] == [
        ("0001", "First."),
        ("0002", "Second."),
        ("a.b", "Third."),
    ]
    before, after = edits[0].read()
    assert (before.max(), after.max()) == (100, 150)


def test_a_csv_names_files_beside_itself(tmp_path: Path) -> None:
    put(tmp_path, "x")
    table = tmp_path / "edits.csv"
    table.write_text('before,prompt,after\nx.before.png,"Make it, say, lighter.",x.after.png\n')
    [edit] = find_edits(table)
    assert (edit.name, edit.text) == ("0001", "Make it, say, lighter.")
    assert edit.read()[1].max() == 150


def test_a_csv_of_excel_is_read(tmp_path: Path) -> None:
    put(tmp_path, "x")
    table = tmp_path / "edits.csv"
    table.write_text("before,prompt,after\nx.before.png,Zünde es an.,x.after.png\n", "utf-8-sig")
    [edit] = find_edits(table)
    assert edit.text == "Zünde es an."
    table.write_text("before,prompt,after\nx.before.png,Zünde es an.,x.after.png\n", "latin-1")
    with pytest.raises(InvalidConfig, match=r"edits\.csv is not text in UTF-8"):
        find_edits(table)


def test_a_name_may_hold_brackets(tmp_path: Path) -> None:
    put(tmp_path, "shot [1]")
    [edit] = find_edits(tmp_path)
    assert edit.read()[1].max() == 150


def test_a_fingerprint_is_of_words_and_pictures(tmp_path: Path) -> None:
    put(tmp_path, "x")
    [edit] = find_edits(tmp_path)
    write_frame(tmp_path / "other.png", GREY + 1)
    known = {edit.fingerprint}
    assert edit.fingerprint in known
    for name, content in (
        ("x.txt", b"Darker."),
        ("x.after.png", (tmp_path / "x.before.png").read_bytes()),
        ("x.before.png", (tmp_path / "other.png").read_bytes()),
    ):
        (tmp_path / name).write_bytes(content)
        [changed] = find_edits(tmp_path)
        assert changed.fingerprint not in known
        known.add(changed.fingerprint)
    (tmp_path / "x.after.png").unlink()
    with pytest.raises(InvalidFrame, match="the edit x cannot be read"):
        _ = edit.fingerprint


def test_what_is_not_whole_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="no folder and no CSV of edits at"):
        find_edits(tmp_path / "none")
    with pytest.raises(InvalidConfig, match=r"holds no edits: each is a NAME\.before\.png"):
        find_edits(tmp_path)
    put(tmp_path, "0001")
    (tmp_path / "0001.after.png").unlink()
    with pytest.raises(InvalidConfig, match=r"0001 needs one frame 0001\.after\.png .* not 0"):
        find_edits(tmp_path)
    put(tmp_path, "0001", " ")
    with pytest.raises(InvalidConfig, match=r"0001\.txt is empty"):
        find_edits(tmp_path)
    (tmp_path / "0001.txt").unlink()
    with pytest.raises(InvalidConfig, match=r"0001 has no words: .*0001\.txt is missing"):
        find_edits(tmp_path)
    table = tmp_path / "edits.csv"
    table.write_text("before,after\n")
    with pytest.raises(InvalidConfig, match="has no column 'prompt'"):
        find_edits(table)
    table.write_text("before,prompt,after\na.png,,b.png\n")
    with pytest.raises(InvalidConfig, match=r"row 1 of .* is not whole"):
        find_edits(table)

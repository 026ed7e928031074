"""A judge, and what it is asked of edits, against a real server on this machine."""

import base64
import io
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chronosim.errors import InvalidConfig, JudgementFailed
from chronosim.metrics.judge import AXES, Judge, judge_edit

Draw = Callable[..., Any]
Serve = Callable[..., SimpleNamespace]


def frames_in(content: Any) -> list[Any]:
    data = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    prefix = "data:image/png;base64,"
    return [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(url.removeprefix(prefix)))))
        for url in data
    ]


def words_in(content: Any) -> list[str]:
    return [part["text"] for part in content if part["type"] == "text"]


def test_it_sees_the_frames_in_their_order_and_reads_the_question(serve: Serve, draw: Draw) -> None:
    service = serve(lambda content: f"  {len(frames_in(content))} frames \n")
    frames = list(draw(2, side=16))
    judge = Judge(service.url, "qwen")
    assert judge.ask("How many?", frames) == "2 frames"
    [content] = service.asked
    assert words_in(content) == ["Frame 1:", "Frame 2:", "How many?"]
    for shown, frame in zip(frames_in(content), frames, strict=True):
        np.testing.assert_array_equal(shown, frame)
    assert judge.ask("How many?", frames[:1]) == "1 frames"
    assert words_in(service.asked[1]) == ["How many?"], "a single frame has no number"
    assert judge.identity["name"] == "qwen"


def test_no_answer_is_an_error(serve: Serve, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = draw(1, side=16)
    service = serve(lambda _: " ")
    with pytest.raises(JudgementFailed, match=r"the judge at http://127.* said nothing to 'Well"):
        Judge(service.url, "qwen").ask("Well?", list(frame))
    nobody = Judge("http://127.0.0.1:9/v1", "qwen", retries=0)
    with pytest.raises(JudgementFailed, match=r"the judge at .* is not reached"):
        nobody.ask("Well?", list(frame))
    with pytest.raises(InvalidConfig, match="at least one frame"):
        nobody.ask("Well?", [])
    with pytest.raises(InvalidConfig, match="NO_SUCH_KEY"):
        Judge("http://localhost/v1", "qwen", key_variable="NO_SUCH_KEY")


def test_an_edit_gets_a_mark_on_each_axis(serve: Serve, draw: Draw) -> None:
    marks = {AXES[axis]["what"]: mark for axis, mark in zip(AXES, (5, 3, 1), strict=True)}

    def mark(content: Any) -> str:
        question = words_in(content)[-1]
        [found] = [mark for what, mark in marks.items() if what in question]
        assert '"a red car turns left"' in question
        return f"The car has moved; I could give MARK: 2 to it.\n**MARK: {found}/5**"

    service = serve(mark)
    before, after = draw(2, side=16)
    verdict = judge_edit(Judge(service.url, "qwen"), before, "a red car turns left", after)
    assert (verdict.action_fidelity.mark, verdict.identity.mark, verdict.coherence.mark) == (
        5,
        3,
        1,
    )
    assert verdict.overall == pytest.approx(3)
    assert verdict.identity.reason.startswith("The car has moved;")
    assert len(service.asked) == 3
    np.testing.assert_array_equal(frames_in(service.asked[0])[0], before)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("I like it.", r"must end with a line 'MARK: <1 to 5>', not 'I like it\.'"),
        ("MARK: 6", "a whole number from 1 to 5, not 6"),
        ("MARK: 3.5", r"a whole number from 1 to 5, not 3\.5"),
        ("MARK: 0", "a whole number from 1 to 5, not 0"),
        ("MARK: 4 or 5", "must end with a line"),
    ],
)
def test_marks_that_are_none_are_refused(serve: Serve, draw: Draw, answer: str, why: str) -> None:
    service = serve(lambda _: answer)
    before, after = draw(2, side=16)
    with pytest.raises(JudgementFailed, match=why):
        judge_edit(Judge(service.url, "qwen"), before, "turn left", after)


def test_each_axis_is_another_question() -> None:
    assert len({told["what"] for told in AXES.values()}) == 3
    assert all(re.search(r"\S", text) for told in AXES.values() for text in told.values())

"""World models over HTTP: how prompts and predictions are written as JSON, and read with suspicion.

    GET  /identity  -> {"protocol": 1, "most_prompts": 64, "identity": {...}}
    POST /predict   {"prompts": [{"frame": PNG, "text": "...", "seed": 0}]}
                    -> {"predictions": [{"trajectory": [PNG, ...], "text": null, "metrics": {}}]}

PNG is base64 of a PNG file, RGB with 8 bits a channel. A refusal is a status of 400 or above with
{"error": "InvalidPrompt", "message": "one sentence"}; the name is one of chronosim.errors.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from chronosim.frames import encode_png
from chronosim.types import EditPrompt, Frame, Prediction

PROTOCOL = 1

_LONGEST = 1024  # frames of a trajectory
MOST_PIXELS = 64_000_000  # of a request's frames together: 64 of 1000 x 1000


class Misread(ValueError):
    """Raised where what came over the wire is not what the protocol says; the text says why."""


def write_prompts(prompts: Sequence[EditPrompt]) -> dict[str, Any]:
    """Gives a request as JSON values."""
    return {
        "prompts": [
            {"frame": _write_frame(prompt.frame), "text": prompt.text, "seed": prompt.seed}
            for prompt in prompts
        ]
    }


def read_prompts(value: Any, *, most: int, pixels: int = MOST_PIXELS) -> list[EditPrompt]:
    """Reads a request.

    Args:
        value: What came as JSON.
        most: Prompts at most.
        pixels: Of all frames together at most, counted before any of them is decoded.

    Raises:
        Misread: It is no request.
    """
    prompts = _field(value, "prompts", list)
    if len(prompts) > most:
        raise Misread(f"a call may hold {most} prompts, not {len(prompts)}")
    read = [_read_prompt(prompt) for prompt in prompts]
    if (asked := sum(picture.width * picture.height for picture, _, _ in read)) > pixels:
        raise Misread(f"the frames of a call may have {pixels:,} pixels together, not {asked:,}")
    return [EditPrompt(_decode(picture), text, seed) for picture, text, seed in read]


def write_predictions(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Gives an answer as JSON values; metrics that are no finite numbers are left out."""
    return {
        "predictions": [
            {
                "trajectory": [_write_frame(frame) for frame in prediction.trajectory],
                "text": prediction.text,
                "metrics": {
                    str(name): float(value)
                    for name, value in prediction.metrics.items()
                    if math.isfinite(value)
                },
            }
            for prediction in predictions
        ]
    }


def read_predictions(value: Any, prompts: Sequence[EditPrompt]) -> list[Prediction]:
    """Reads an answer.

    Args:
        value: What came as JSON.
        prompts: What was asked.

    Raises:
        Misread: It is no answer to these prompts.
    """
    predictions = _field(value, "predictions", list)
    if len(predictions) != len(prompts):
        raise Misread(f"{len(prompts)} prompts got {len(predictions)} predictions")
    return [
        _read_prediction(prediction, prompt)
        for prediction, prompt in zip(predictions, prompts, strict=True)
    ]


def _read_prompt(value: Any) -> tuple[Image.Image, str, int]:
    """Reads a prompt, but for the pixels of its picture."""
    text, seed = _words(_field(value, "text", str)), _field(value, "seed", int)
    if isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise Misread(f"a seed is a whole number from 0 to 2**63 - 1, not {seed!r:.80}")
    return _open_frame(_field(value, "frame", str)), text, seed


def _read_prediction(value: Any, prompt: EditPrompt) -> Prediction:
    pictures = _field(value, "trajectory", list)
    if not 1 <= len(pictures) <= _LONGEST:
        raise Misread(f"a trajectory has 1 to {_LONGEST} frames, not {len(pictures)}")
    opened = [_open_frame(picture) for picture in pictures]
    height, width, _ = prompt.frame.shape
    for picture in opened:
        if picture.size != (width, height):
            raise Misread(
                f"a frame of {width} x {height} was answered with {picture.width} x "
                f"{picture.height}"
            )
    text, metrics = value.get("text"), value.get("metrics", {})
    if text is not None and not isinstance(text, str):
        raise Misread(f"a prediction's text is a string or null, not {text!r:.80}")
    if not isinstance(metrics, dict) or not all(map(_is_number, metrics.values())):
        raise Misread(f"metrics are finite numbers by name, not {metrics!r:.80}")
    frames = np.stack([_decode(picture) for picture in opened])
    return Prediction(frames, None if text is None else _words(text), metrics)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _words(text: str) -> str:
    """Gives words back if they can be written: JSON may hold half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Misread(f"a text is Unicode, not {text!r:.80}") from error
    return text


def _field(value: Any, name: str, kind: type) -> Any:
    if not isinstance(value, Mapping) or not isinstance(value.get(name), kind):
        raise Misread(f"{name!r} is missing, or is no {kind.__name__}")
    return value[name]


def _write_frame(frame: Frame) -> str:
    return base64.b64encode(encode_png(frame, compress_level=1)).decode("ascii")


def _open_frame(text: Any) -> Image.Image:
    """Opens a PNG, and nothing that only pretends to be one; its pixels are not decoded yet."""
    if not isinstance(text, str):
        raise Misread(f"a frame is base64 of a PNG, not {type(text).__name__}")
    with _reading():
        picture = Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG",))
        if picture.mode != "RGB":
            raise Misread(f"a frame is RGB with 8 bits a channel, not {picture.mode}")
        return picture


def _decode(picture: Image.Image) -> Frame:
    with _reading(), picture:
        return np.array(picture)


@contextmanager
def _reading() -> Iterator[None]:
    """Turns what Pillow and base64 say of a broken picture into `Misread`."""
    try:
        yield
    except Misread:
        raise
    # ValueError is binascii's error, and Pillow's for chunks beside the picture that are broken:
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise Misread(f"a frame is base64 of a PNG, but: {error}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Misread(f"a frame is too large: {error}") from error

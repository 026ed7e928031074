"""What a log may make: a list, by part, with the settings that it may give to each.

A log comes from anyone. Its settings name classes to call, and some of these read files, ask
addresses, send what an environment variable holds, or import code. So not on the list is whatever
does: remote models, models of the hub, judges and writers, simulators, classes of one's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf

from chronosim.errors import InvalidConfig
from chronosim.settings.parts import names
from chronosim.settings.safe_yaml import read_yaml

Root = Path | Literal["anywhere"] | None


def _plain(words: str, **others: str) -> dict[str, str]:
    """Settings by name, each with what may be given: plain values, but where it is said."""
    return dict.fromkeys(words.split(), "plain") | others


# What may be made for each part, by its `_target_` below the package; its settings, and of what
# kind: plain values; a part, parts or words; a file of the data set; one of some names.
_PARTS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "model": {
        "testing.EchoModel": _plain("time"),
        "models.load": _plain(
            "denoising_steps guidance flow_shift reasoning_steps decode_trajectory scheduler dtype "
            "offload storage tiling slicing micro_batch fused batched_guidance parallel strict",
            name="model",
            preset="model",
            device="device",
            compiled="switch",
        ),
    },
    "prompter": {
        "prompters.Bimanual": _plain("sentence", left="part", right="part"),
        "prompters.Driving": _plain(
            "seconds_per_step power scrub braking top_speed resolution foretells"
        ),
        "prompters.DrivingBySpeed": _plain(
            "wording seconds_per_step top_speed top_yaw_rate speed_scale"
        ),
        "prompters.DrivingByWaypoints": _plain("wording seconds_per_step points reach speed_scale"),
        "prompters.EndEffector": _plain(
            "wording workspace home seconds_per_step largest_move largest_turn"
        ),
        "prompters.Events": _plain("events", prompter="prompter"),
        "prompters.Instruction": _plain("sentence seconds_per_step"),
        "prompters.Joints": _plain("robot joints home wording seconds_per_step resolution"),
        "prompters.Manoeuvres": _plain(
            "manoeuvres sentence seconds_per_step top_speed speed_scale"
        ),
        "prompters.Pushing": _plain("seconds_per_step foretells"),
        "prompters.Trigger": _plain("sentence"),
        "prompters.Values": _plain("template action state seconds_per_step"),
    },
    "scenario": {
        "scenarios.CarRacingScenario": _plain("speed", starts="file"),
        "scenarios.PushTScenario": {"starts": "file"},
        "scenarios.RecordedScenario": _plain("names values instruction", starts="file"),
        "scenarios.Scene": _plain(
            "ends wants values names step size area mirrored between horizon plan instruction",
            frame="start",
            goal="criterion",
            failure="criterion",
            where="criterion",
        ),
    },
    "policy": {
        "policies.AnyDrive": _plain("seed"),
        "policies.AnyPush": _plain("seed near reach"),
        "policies.Constant": _plain("action"),
        "policies.DriverMix": _plain("seed"),
        "policies.Handicapped": _plain(
            "seed noise bias whim delay", policy="part", prompter="prompter"
        ),
        "policies.LaneFollower": _plain("target_speed lookahead gain"),
        "policies.Planned": _plain("actions"),
        "policies.Pusher": _plain("strength longest"),
        "policies.PusherMix": _plain("seed"),
        "policies.Random": _plain("seed", prompter="prompter"),
        "policies.RoadBalance": _plain("target_speed rows gain damping"),
        "policies.RoadLeaver": _plain("steering throttle"),
        "policies.RoadPlanner": _plain("seed plans rounds depth target_speed haste"),
        "policies.Shover": _plain("away behind longest"),
        "policies.StayPut": {},
    },
    "criterion": {
        "scenarios.goals.AllOf": {"criteria": "criteria"},
        "scenarios.goals.AnyOf": {"criteria": "criteria"},
        "scenarios.goals.BlockAway": _plain("least most"),
        "scenarios.goals.BlockGone": {},
        "scenarios.goals.ColourShare": _plain("colour share region tolerance name"),
        "scenarios.goals.CommandedState": _plain("index low high name"),
        "scenarios.goals.GoalCovered": _plain("share"),
        "scenarios.goals.LikeFrame": _plain("near far", frame="file"),
        "scenarios.goals.Moving": {},
        "scenarios.goals.Not": {"criterion": "criterion"},
        "scenarios.goals.OnRoad": {},
        "scenarios.goals.RoadBends": _plain("least most"),
        "scenarios.goals.RoadLost": {},
    },
}
_LONGEST, _LARGEST = 4096, 10_000_000  # characters of words, and what a whole number may be
_DEPTH, _VALUES = 16, 20_000  # lists and mappings in each other, and values in all
_SHOWN = 200  # characters of a value in an error
_DEVICE = re.compile(r"cpu|mps|cuda(:\d{1,2})?|xpu(:\d{1,2})?")


@dataclass(frozen=True, slots=True)
class Request:
    """Something in a log that is not on the list.

    Attributes:
        key: Where it stands, such as `model.url`.
        value: What is asked for.
        what: What comes of it, in words.
    """

    key: str
    value: Any
    what: str

    def __str__(self) -> str:
        key = self.key if self.key.isprintable() else ascii(self.key)
        return f"{key[:_SHOWN]}: {self.what}"


def check_parts(parts: Mapping[str, Any], whose: str, root: Root) -> None:
    """Refuses settings of a log that ask for what is not on the list.

    Args:
        parts: The settings of model, prompter and scenario, as plain values.
        whose: Where they came from, for the error.
        root: The data set's folder, whose files a log may name; None: it may name none; "anywhere",
            for settings of the user's own.

    Raises:
        InvalidConfig: They do; the sentence says for what.
    """
    for request in find_requests(parts, root):
        raise InvalidConfig(
            f"{whose} asks for what no log may ({request}): give trust=true if you trust it"
        )


def find_requests(parts: Mapping[str, Any], root: Root) -> Iterator[Request]:
    """Finds what a log asks for that is not on the list; as `check_parts`.

    Yields:
        One after the other, with what comes of it.
    """
    if too_much := _too_much(parts):
        yield Request("settings", None, too_much)
    else:
        for name, settings in parts.items():
            yield from _of_part(name, settings, name, root)


def _of_part(group: str, settings: Any, key: str, root: Root) -> Iterator[Request]:
    target = settings.get("_target_") if isinstance(settings, Mapping) else None
    if target is None:
        yield Request(key, settings, f"is {_shown(settings)}, which names no class")
        return
    known = _PARTS[group].get(str(target).removeprefix("chronosim."))
    if known is None or not str(target).startswith("chronosim."):
        yield from _calls(settings, key, set())
        return
    for name, value in settings.items():
        nothing = value is None or value is False or value in ([], {})
        if name != "_target_" and not (nothing and str(name)[:1] != "_"):
            yield from _of_setting(known.get(name), value, f"{key}.{name}", root, group)


def _of_setting(
    kind: str | None, value: Any, key: str, root: Root, group: str
) -> Iterator[Request]:
    """What a setting asks for, by what the list lets it be."""
    part = isinstance(value, Mapping) and "_target_" in value
    if kind == "criteria" and isinstance(value, list):
        for index, one in enumerate(value):
            yield from _of_part("criterion", one, f"{key}[{index}]", root)
    elif part and kind in ("part", "prompter", "criterion"):
        yield from _of_part(group if kind == "part" else kind, value, key, root)
    elif kind is None or not _may(kind, value, root):
        yield Request(key, value, f"gives {_shown(value)}{_consequence(key, value)}")
        yield from _calls(value, key, set())


def _may(kind: str, value: Any, root: Root) -> bool:
    """Whether a value is of the kind that the list says."""
    if kind == "plain":
        return _is_plain(value)
    if kind == "switch":
        return isinstance(value, bool)
    if not isinstance(value, str) or not _is_plain(value):
        return False
    if kind in ("model", "prompter"):
        return value in names(kind)
    if kind == "device":
        return _DEVICE.fullmatch(value) is not None
    if kind == "criterion":
        return True  # a question, which without a judge nobody answers
    if root == "anywhere":
        return True
    if kind == "start" and re.fullmatch(r"[a-z0-9-]+", value):
        return (files("chronosim.scenarios") / "starts" / f"{value}.npz").is_file()
    return _lies_within(value, root)


def _lies_within(value: str, root: Path | None) -> bool:
    """Whether a path leads into a folder, links followed, and so does all that lies there."""
    if root is None or value[:1] == "~" or value[:2] == "//" or "\\" in value or ":" in value:
        return False
    try:
        within, path = root.resolve(), Path(value).resolve()
        inside = [path, *path.rglob("*")] if path.is_dir() else [path]
        return all(one.resolve().is_relative_to(within) for one in inside)
    except (OSError, RuntimeError, ValueError):
        return False


def _is_plain(value: Any) -> bool:
    """Whether a value is a number, words that are nothing but words, or lists and names of them."""
    if isinstance(value, Mapping):
        return all(str(name)[:1] != "_" for name in value) and _is_plain([*value, *value.values()])
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, str):
        fine = len(value) <= _LONGEST and value.isprintable()
        return fine and "://" not in value and "${" not in value and not _is_wide(value)
    if isinstance(value, int):
        return abs(value) <= _LARGEST
    return value is None or isinstance(value, float)


def _is_wide(words: str) -> bool:
    """Whether a gap asks for very many characters: "{:>999999999}" is words of a gigabyte."""
    return any(re.search(r"\d{4}", gap.partition("}")[0]) for gap in words.split("{")[1:])


def _too_much(parts: Any) -> str | None:
    waiting, values = [(parts, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        inner = value.values() if isinstance(value, Mapping) else value
        if isinstance(value, Mapping | list):
            waiting += [(one, depth + 1) for one in inner]
        values += 1
        if depth > _DEPTH or values > _VALUES:
            return f"nests settings more than {_DEPTH} deep, or holds more than {_VALUES:,} values"
    return None


def _calls(settings: Any, key: str, seen: set[str]) -> Iterator[Request]:
    """What settings that are not on the list would call, those in YAML that they name included."""
    if isinstance(settings, Mapping):
        if "_target_" in settings:
            given = {name: value for name, value in settings.items() if name != "_target_"}
            told = "".join(
                f"; {_name(name)}={_shown(value)}{_consequence(str(name), value)}"
                for name, value in given.items()
            )
            yield Request(key, settings, f"calls {_shown(settings.get('_target_'))}{told}")
        for name, value in settings.items():
            yield from _calls(value, f"{key}.{name}", seen | {key})
    elif isinstance(settings, list):
        for index, value in enumerate(settings):
            yield from _calls(value, f"{key}[{index}]", seen | {key})
    elif isinstance(settings, str) and settings.endswith((".yaml", ".yml")):
        try:
            inside = OmegaConf.to_container(read_yaml(Path(settings)))
        except InvalidConfig:
            return
        if settings not in seen:
            yield from _calls(inside, f"{key} ({settings})", seen | {settings})


def _consequence(key: str, value: Any) -> str:
    """What comes of a setting, beyond being given."""
    name = key.rpartition(".")[2]
    if not isinstance(value, str):
        return ""
    if name.endswith("variable"):
        return f"; reads the environment variable {_shown(value)}"
    if "://" in value or name in ("url", "endpoint", "host"):
        return f"; asks the address {_shown(value)}"
    if "${" in value:
        return "; reads what the ${...} names"
    if name in ("name", "location", "model", "loras", "transformer", "revision"):
        return "; reads a model from there, or asks the model hub for it"
    return "; reads that file" if name in ("starts", "frame", "path", "cache") else ""


def _name(name: object) -> str:
    return str(name) if str(name).isidentifier() else _shown(name)


def _shown(value: Any) -> str:
    said = repr(value)
    return said if len(said) <= _SHOWN else f"{said[:_SHOWN]}..."

"""Command lines that no one should type, and some that people do."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from chronosim.cli.main import COMMANDS
from chronosim.frames import write_frame
from chronosim.rollouts import run as roll_out
from chronosim.settings import parts
from chronosim.settings.compose import choices, config_groups, settings_text
from chronosim.testing import EchoModel
from chronosim.world import World
from tests.fuzz.watch import Case

# What each command is given so that it ends soon.
SHORT = {
    "demo": "model=echo horizon=2 attempts=1 output=out",
    "predict": "model=echo output=out",
    "rollout": "model=echo episodes=1 horizon=2 pictures=0 output=out",
    "whatif": "model=echo steps=1 output=out",
    "studio": "model=echo browser=false port=0",
    "record": "simulator=pusht policy=straight episodes=1 steps=1 workers=1 output=out",
    "train": "dataset=e/episodes output=out stills.steps=0 clips.steps=0 trips.steps=0 "
    "carry.steps=0 world.steps=0 held_out=1",
    "evaluate": "model=echo episodes=e parts=[outcomes] windows=2 rollouts=2 rollout_steps=1 "
    "output=out",
    "judge": "edits output=out",
    "guard": "e episodes=4 output=out",
    "check": "model=echo prompts=2 steps=0 output=out",
    "serve": "model=echo port=0",
    "scenarios ls": "",
    "scenarios show": "carracing",
    "scenarios check": "mine.yaml",
    "episodes ls": "e",
    "episodes show": "e/episodes/0000000",
    "episodes stats": "e",
    "episodes play": "e output=out.mp4",
    "episodes replay": "e",
    "episodes verify": "e",
    "episodes repair": "e",
    "episodes compact": "e",
    "episodes export": "e output=out format=diffusion-policy",
    "episodes import": "pictures output=out format=folder source_fps=2",
    "bench model": "model=echo num_envs=[1] predictions=1 stock=false output=out",
    "bench episodes": "steps=2 windows=1 output=out",
    "bench formats": "formats=[mp4] episodes=2 steps=1 rows=2 output=out",
}
# Asked less often:
SLOW = ("demo", "record", "bench model", "evaluate", "train", "bench episodes", "bench formats")
SERVERS = ("studio", "serve")

VALUES = (
    *(
        "",
        "null",
        "true",
        "false",
        "yes",
        "nan",
        "inf",
        "-inf",
        "-1",
        "0",
        "1",
        "2",
        "0.5",
        "1e400",
    ),
    *("9223372036854775807", "18446744073709551616", "-9223372036854775809", "1e-320", "0x10"),
    *("text", "24fps", "[]", "{}", "[1,2]", "[[1],[2,3]]", "{a: 1}", "[null]", "{1: 2}", "[nan]"),
    *("'", '"', "\\", "[", "}", "a=b", "a,b", "range(0,3)", "choice(1,2)", "glob(*)", "x'y\"z"),
    *("a" * 250, "b" * 5000, "[" * 300 + "]" * 300, "ünïcødé", "日本", "\udcff", "a\nb", "a\tb"),
    *("\x1b[31mred", "a\x00b", "%s%n", "{0.__class__}", "$(touch CANARY)", "`touch CANARY`"),
    *("/dev/full", "/dev/null", "/dev/zero", "/", ".", "..", "~", "~nobody", "~seed", "-", "--"),
    *("${seed}", "${oc.env:HOME}", "${oc.env:NOTHING}", "${oc.create:{a: 1}}", "${nothing}", "${"),
    *("${oc.decode:'[1'}", "${output}", "???", "!!python/object:os.system", "&a [*a]"),
    *("photo.png", "notes.txt", "plan.yaml", "bomb.yaml", "deep.json", "rec.yaml", "mine.yaml"),
    *("e", "e/episodes", "e/episodes/0000000", "e/none", "photo.png/in", "closed", "closed/in"),
    *("pipe", "loop", "dangling", "empty", "null.npz", "endless", "huge.yaml", "link", "pictures"),
    *(
        "s3://bucket/x",
        "memory://x",
        "http://[",
        "http://127.0.0.1:1/x",
        "file:///nowhere",
        "nowhere:",
    ),
    *("echo", "nano", "carracing", "pusht", "driving", "random", "mp4", "cpu", "cuda:99", "tpu"),
)

TARGETS = (
    *(
        "os.system",
        "builtins.eval",
        "chronosim",
        "chronosim.testing",
        "chronosim.nothing",
        "a b",
        ".",
    ),
    *(
        "chronosim.testing.EchoModel",
        "chronosim.models.load",
        "chronosim.prompters.Values",
        "x" * 300,
    ),
    *(
        "nowhere.Class",
        "",
        "null",
        "7",
        "subprocess.Popen",
        "chronosim.cli.main.main",
        "int",
        "...",
    ),
)


def begin(folder: Path) -> Path:
    """Makes the working directory of the cases: episodes, pictures, plans, and traps."""
    folder.mkdir()
    prompter = parts.load("prompter", "driving")
    world = World(EchoModel(), prompter, parts.load("scenario", "carracing"), horizon=2)
    policy = parts.load("policy", "straight")
    roll_out(world, policy, folder / "e" / "episodes", seeds=range(4))
    frame = np.full((96, 96, 3), 90, np.uint8)
    for name in ("photo.png", "edits/a.before.png", "edits/a.after.png", "pictures/one/0.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_frame(folder / name, frame)
    (folder / "edits" / "a.txt").write_text("It rains.")
    for index in range(1, 4):
        write_frame(folder / "pictures" / "one" / f"{index}.png", frame)
    (folder / "pictures" / "one" / "actions.csv").write_text("a,b\n" + "0.1,0.2\n" * 4)
    texts = {
        "notes.txt": "Nothing in here.",
        "plan.yaml": "left: [[-0.3, 0.2, 0]]\nright: [[0.3, 0.2, 0]]\n",
        "mine.yaml": "_target_: chronosim.scenarios.CarRacingScenario\nspeed: 3\n",
        "bomb.yaml": "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
        + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghi")),
        "rec.yaml": "a: &a\n  b: *a\n",
        "deep.json": "[" * 100_000,
        "null.npz": "",
        "huge.yaml": "a: " + "x" * 2**19,
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    for name in ("empty", "closed"):
        (folder / name).mkdir()
    for name, leads in (
        ("loop", "loop"),
        ("dangling", "gone"),
        ("endless", "/dev/zero"),
        ("link", "e"),
    ):
        (folder / name).symlink_to(leads)
    return folder


def spoil(folder: Path) -> None:
    """What cannot be copied."""
    os.mkfifo(folder / "pipe")
    (folder / "closed").chmod(0)


def cases(seed: int, count: int) -> Iterator[Case]:
    """Draws command lines."""
    rng = random.Random(seed)
    quick = [command for command in COMMANDS if command not in SLOW]
    for index in range(count):
        command = rng.choice(SLOW if rng.random() < 0.08 else quick)
        words = list(_words(rng, command))
        name = f"command {seed}.{index}"
        long = command in SERVERS or any(_is_much(word) for word in words)
        line = (*command.split(), *words)
        yield Case(name, line, spoil, may_last=long, changes=command == "train")


def _words(rng: random.Random, command: str) -> Iterator[str]:
    given = SHORT[command].split()
    changed = [_change(rng, command) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    keys = {word.partition("=")[0] for word in changed}
    yield from (word for word in given if word.partition("=")[0] not in keys)
    yield from changed
    if rng.random() < 0.05:
        yield rng.choice(("--force", "-m", "--config-dir=closed", "--config-dir=e", "--nothing"))


def _change(rng: random.Random, command: str) -> str:
    """One setting of a command's, given a value that may or may not suit."""
    values = OmegaConf.to_container(OmegaConf.create(settings_text(command)))
    assert isinstance(values, dict)
    values.pop("defaults", None)
    keys = [str(key) for key in values] + [
        f"{key!s}.{inner!s}"
        for key, value in values.items()
        if isinstance(value, dict)
        for inner in value
    ]
    groups = choices(command)
    value = rng.choice(VALUES)
    kind = rng.random()
    if groups and kind < 0.3:
        group = rng.choice(list(groups))
        if rng.random() < 0.4:
            return f"{group}={rng.choice(VALUES)}"
        if rng.random() < 0.3:
            return f"{group}._target_={rng.choice(TARGETS)}"
        key = rng.choice(_keys_of(rng, group))
        return f"{rng.choice(('', '+', '++'))}{group}.{key}={value}"
    if kind < 0.9:
        return f"{rng.choice(keys)}={value}"
    key = rng.choice(keys)
    return rng.choice(
        (
            f"+{key}={value}",
            f"++{key}={value}",
            f"~{key}",
            key,
            f"={value}",
            f"{key}.x={value}",
            value,
            f"hydra.run.dir={value}",
            f"{key}@x={value}",
            f"+a.b.c={value}",
            f"{key}[0]={value}",
        )
    )


def _keys_of(rng: random.Random, group: str) -> list[str]:
    names = config_groups().get(group) or ["x"]
    folder = "export" if group == "format" else group
    try:
        settings = parts._read_whole(folder, rng.choice(names))
    except Exception:
        return ["x", "name"]
    return [str(key) for key in settings.keys() if key != "defaults"] or ["x"]  # noqa: SIM118


def _is_much(word: str) -> bool:
    return word.partition("=")[2].strip("-[]").isdigit() and len(word.partition("=")[2]) > 8

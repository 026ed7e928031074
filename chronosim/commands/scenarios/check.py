"""Checks a scenario's file: names every unknown key, wrong type and missing frame with its key.

Then it begins an episode in it and words the policy's first action; no model is loaded, no judge is
asked. A file that names code of its own, or asks for more than chronosim's own parts do, is only
read, unless trust=true: then it is said first what will be run. The exit status is 1 where
something was found.

Examples:
    chronosim scenarios check mine.yaml
    chronosim scenarios check conf/scenario/mine.yaml frame=photo.jpg
    chronosim scenarios check path=carracing-slippery
"""

from __future__ import annotations

from functools import partial

from chronosim.cli.terminal import faint
from chronosim.settings.commands import ScenariosCheck
from chronosim.settings.scenario_files import check_file, find_scenario


def run(settings: ScenariosCheck) -> int:
    """Runs the command.

    Returns:
        1 where something was found.

    Raises:
        InvalidConfig: There is no such file, it is no YAML, or it asks for trust.
    """
    file = find_scenario(settings.path)
    say = partial(print, flush=True)
    problems = check_file(file, settings.frame, trust=settings.trust, say=say)
    for key, what in problems:
        print(f"{key}: {what}")
    if not problems:
        print(f"{file.path} is in order" if file.own else f"{file.name} is in order")
    else:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        print(faint(f"\n{count} in {file.path}"))
    return 1 if problems else 0

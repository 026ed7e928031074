"""Lists the scenarios, a line each: what happens in it, and what the user has to bring.

Those that bring no frame of their own begin with a photo of yours: scenario.frame=photo.jpg.

Examples:
    chronosim scenarios ls
    chronosim scenarios ls conf/scenario
    chronosim scenarios ls path=examples/mine/scenario
"""

from __future__ import annotations

from chronosim.cli.terminal import faint, table
from chronosim.settings.commands import ScenariosLs
from chronosim.settings.parts import names
from chronosim.settings.scenario_files import ScenarioFile, find_scenario, own_scenarios


def run(settings: ScenariosLs) -> None:
    """Runs the command.

    Raises:
        InvalidConfig: There is no scenario in the folder, or one cannot be read.
    """
    files = [find_scenario(name) for name in names("scenario")]
    if settings.path is not None:
        files += own_scenarios(settings.path)
    print(table(("scenario", "begins with", "what happens"), [_row(file) for file in files]))
    print(faint(f"\n{len(files)} scenarios; chronosim scenarios show NAME explains one"))


def _row(file: ScenarioFile) -> tuple[str, str, str]:
    return file.name, "its own frames" if file.brings_frame else "yours", file.title

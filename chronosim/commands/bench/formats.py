"""Times exports and imports on this machine, beside the formats' own libraries.

Measured are seconds of CPU and memory above what the process held; the library writes and reads the
frames alone, in as few calls as it can.

Examples:
    chronosim bench formats
    chronosim bench formats episodes=500 rows=3000
    chronosim bench formats 'formats=[rerun, mp4]' folder=/mnt/disk output=runs/that-disk
"""

from __future__ import annotations

from chronosim.bench.formats import LIBRARIES, bench_formats
from chronosim.commands.bench.episodes import bench
from chronosim.settings.commands import BenchFormats


def run(settings: BenchFormats) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, or a disk that refuses.
    """
    bench(
        "bench-formats",
        settings.composed,
        settings.folder,
        lambda folder: bench_formats(
            folder,
            settings.formats or list(LIBRARIES),
            episodes=settings.episodes,
            steps=settings.steps,
            rows=settings.rows,
            seed=settings.seed,
        ),
    )

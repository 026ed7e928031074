"""What every command shares: how it is found, what it prints, where it leaves its results."""

from chronosim.cli.main import main

__all__ = ["main"]

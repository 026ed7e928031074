"""The commands, one file each; `chronosim.cli.main` runs them by name.

A command is a module with a docstring, whose first line is its one-line description and whose end
is its three examples, and a function `run(config)`. Its settings are `scenarios/conf/<name>.yaml`.
"""

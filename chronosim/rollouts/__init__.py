"""Policies rolled out in a world model: many episodes, each named by its seed."""

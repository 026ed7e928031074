"""Prompters: how the actions of a robot or car are worded."""

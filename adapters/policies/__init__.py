"""Policies: callables from an observation to an action."""

"""Reference simulators, and how they are recorded as episodes."""

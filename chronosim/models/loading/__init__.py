"""Models by name: where their files lie, what they need, how they are read."""

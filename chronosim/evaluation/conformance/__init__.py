"""Whether a model keeps the contract of a world model."""

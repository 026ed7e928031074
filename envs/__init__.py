"""What Gymnasium sees: environments, their registration, and wrappers."""

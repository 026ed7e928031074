"""What limits a model, by experiment."""

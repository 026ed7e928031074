"""From recorded episodes to a world model."""

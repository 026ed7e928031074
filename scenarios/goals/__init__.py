"""What can count in a scenario: small callables, composed in YAML as a goal and a failure."""

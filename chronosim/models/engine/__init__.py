"""The ChronoEdit engine: diffusers' parts with temporal reasoning, nothing computed twice."""

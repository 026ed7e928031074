"""Settings: composed, checked, made into parts; and what a log may make."""

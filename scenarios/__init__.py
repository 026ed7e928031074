"""Where episodes begin and what counts in them; `conf/` holds the config groups."""

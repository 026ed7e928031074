"""Lists, explains and checks scenarios: where episodes begin, and what counts in them."""

"""Many actions: how near rollouts stay to the truth, and what wears out."""

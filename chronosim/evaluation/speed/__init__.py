"""How fast a model is, beside diffusers' own pipeline."""

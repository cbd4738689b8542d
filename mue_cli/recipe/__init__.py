"""A recipe: an experiment as data."""

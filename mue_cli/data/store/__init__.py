"""The prepared folder: written once, read lazily."""

"""One experiment: a recipe, its run folder, and the procedures that read and write it."""

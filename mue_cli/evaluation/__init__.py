"""A method over a data set: predictions, scores, costs, and analyses over all depths."""

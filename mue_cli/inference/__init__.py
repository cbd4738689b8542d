"""Fast exact inference: one walk over the layers, the encoder and decoder on top of it, search and
closed-set answers.
"""

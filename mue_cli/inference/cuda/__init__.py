"""The CUDA back end: a copy of a model whose convolutions suit tensor cores, and programs that are
recorded once and replayed, so that the host does not launch every kernel anew.
"""

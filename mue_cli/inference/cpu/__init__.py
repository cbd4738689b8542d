"""The CPU back end: a copy of a model whose matrices and convolutions lie as the processor likes
them. `mue_cli/inference/precision.py` is its only caller.
"""

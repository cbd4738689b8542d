"""Who may stop, and what is read out: rules, readouts, methods. Tensors only; nothing here knows
OFA.
"""

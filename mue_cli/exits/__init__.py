"""Who may stop, and what reads a state out: exit scores, rules, exit heads, methods.

Tensors only; nothing here knows OFA.
"""

"""How good the answers are: caption scores and entailment accuracy. Nothing here knows models or
exits.
"""

"""Where the time goes on this machine: parts of a run, ceilings, and what the two say about
exiting.
"""

"""The learning rate over the steps: linear warm-up, then linear decay to zero (OFA: 6 % of the
steps, polynomial of power 1).
"""


def learning_rate_factor(step: int, num_steps: int, warmup: float) -> float:
    """Return the factor in [0, 1] of the peak rate for step 0..num_steps - 1; warmup: fraction of
    the steps.
    """
    num_warmup = max(1, round(num_steps * warmup))
    if step < num_warmup:
        return (step + 1) / num_warmup
    return (num_steps - step) / max(1, num_steps - num_warmup)

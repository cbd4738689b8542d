"""Fine-tuning with a loss on every decoder layer."""

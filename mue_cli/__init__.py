"""Dynamic early exiting in unified vision-language models."""

__version__ = "0.1.0"

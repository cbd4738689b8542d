"""The shared core model package: OFA, and nothing about exits."""

"""Thresholds for a target: candidate thresholds and the search among settings."""

"""Holds what the hot paths cost against what they are known to cost: see ``scripts/guard``."""

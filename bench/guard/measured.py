"""What was counted of one path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .callgrind import Profile

__all__ = ["Measured"]


@dataclass(frozen=True)
class Measured:
    """The counts of one operation, and the profile of all that were run."""

    counts: Mapping[str, float]
    profile: Profile
    operations: int

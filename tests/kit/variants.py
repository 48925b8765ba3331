"""Which variants of a test run by day: the fewest that show each value of each parameter; at night all of them run.

For tests with real processes, whose parameters (kind of session, version of IP, fast path …) multiply.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import pytest


def later(value: object) -> object:
    """Return a parameter's value for the night: it says little that the others do not."""
    return pytest.param(value, marks=pytest.mark.night)


def cover(variants: Sequence[Mapping[str, Hashable]]) -> list[int]:
    """Return the positions of variants in which each value of each parameter is met.

    variants: each parameter's value by its name. Greedy: always the first of those that show most that is new.
    """
    missing = {value for variant in variants for value in variant.items()}
    chosen: list[int] = []
    while missing:
        best = max(range(len(variants)), key=lambda position: (len(missing & variants[position].items()), -position))
        missing -= variants[best].items()
        chosen.append(best)
    return sorted(chosen)

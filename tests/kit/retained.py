"""What an object holds on to: a table that grows without bounds shows here whatever it is called."""

from __future__ import annotations

import gc
from collections import Counter
from types import BuiltinFunctionType, FunctionType, ModuleType

_SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType)
"""Code, not data: what leads there leads everywhere."""


def retained(root: object) -> Counter[str]:
    """Return how many objects of each class can be reached from root, code left out; every one counts once."""
    seen = {id(root)}
    waiting = [root]
    found: Counter[str] = Counter()
    while waiting:
        one = waiting.pop()
        found[type(one).__name__] += 1
        for other in gc.get_referents(one):
            if id(other) not in seen and not isinstance(other, _SHARED):
                seen.add(id(other))
                waiting.append(other)
    return found

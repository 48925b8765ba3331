"""The variants of a day."""

from __future__ import annotations

import os
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.variants import cover, later


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_each_value_of_each_parameter_is_met(sizes: list[int]) -> None:
    names = [f"p{number}" for number in range(len(sizes))]
    variants = [dict(zip(names, values, strict=True)) for values in product(*(range(size) for size in sizes))]
    chosen = [variants[position] for position in cover(variants)]
    assert {pair for variant in chosen for pair in variant.items()} == {
        pair for variant in variants for pair in variant.items()
    }
    assert len(chosen) <= sum(sizes) - len(sizes) + 1


def test_a_product_needs_as_many_as_its_longest_parameter_has_values() -> None:
    variants = [
        {"kind": kind, "version": version, "path": path} for kind, version, path in product(range(3), *[range(2)] * 2)
    ]
    assert len(cover(variants)) == 3


def test_a_test_with_one_parameter_runs_with_all_its_values() -> None:
    assert cover([{"kind": number} for number in range(5)]) == list(range(5))


@pytest.mark.parametrize("value", ["always", later("at night")])
def test_what_is_for_later_is_asked_at_night_alone(value: str) -> None:
    assert value == "always" or os.environ["HYPOTHESIS_PROFILE"] == "night"

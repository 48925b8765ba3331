from __future__ import annotations

from proxyd.config.statements import Place, Statement, Word


def test_places_sort_as_they_are_read() -> None:
    assert sorted([Place(2, 1), Place(1, 9), Place(1, 2)]) == [(1, 2), (1, 9), (2, 1)]


def test_depth_is_no_part_of_what_a_statement_says() -> None:
    keyword = Word("item", Place(1, 1))
    assert Statement(keyword, (), None, 1) == Statement(keyword, (), None, 2)

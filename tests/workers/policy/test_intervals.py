from __future__ import annotations

from workers.policy.intervals import IntervalMap, Piece


def test_a_map_without_pieces_has_no_value_anywhere():
    assert IntervalMap[str]().at(0) is None
    assert list(IntervalMap[str]().stretches()) == []


def test_both_ends_of_a_piece_belong_to_it():
    found = IntervalMap([Piece(5, 9, 0, "a")])
    assert [found.at(number) for number in (4, 5, 9, 10)] == [None, "a", "a", None]


def test_a_piece_from_zero_begins_at_zero():
    found = IntervalMap([Piece(0, 0, 0, "a")])
    assert found.at(0) == "a"
    assert found.at(1) is None


def test_the_lowest_rank_wins_where_pieces_overlap():
    found = IntervalMap([Piece(0, 100, 1, "outer"), Piece(40, 60, 0, "inner"), Piece(50, 200, 2, "last")])
    assert list(found.stretches()) == [(0, 39, "outer"), (40, 60, "inner"), (61, 100, "outer"), (101, 200, "last")]


def test_neighbours_of_one_value_become_one_stretch():
    assert list(IntervalMap([Piece(0, 4, 0, "a"), Piece(5, 9, 1, "a")]).stretches()) == [(0, 9, "a")]

"""What the parent knows of names while resolvers come and go."""

from __future__ import annotations

from proxyd.daemon.book import Book
from workers.contract.messages import NO_NAMES, Names

OLD = Names({"a.example": [(4, b"\1\1\1\1")], "b.example": [(4, b"\2\2\2\2")]})
NEW = Names({"b.example": [(4, b"\3\3\3\3")], "c.example": [(4, b"\4\4\4\4")]})


def test_without_a_resolver_everything_is_known() -> None:
    book = Book(resolved=False)
    assert book.names == NO_NAMES
    assert not book.anew


def test_until_a_resolver_has_told_nothing_is_known() -> None:
    book = Book(resolved=True)
    assert book.names is None
    assert book.told is None
    assert book.take(OLD) == OLD
    assert book.told == OLD, "the next resolver need not ask for it"


def test_what_a_resolver_tells_later_stands_in_the_place_of_all_that_was_known() -> None:
    book = Book(resolved=True)
    book.take(OLD)
    assert book.take(NEW) == NEW


def test_one_that_is_asked_for_other_names_leaves_the_addresses_of_those_it_does_not_find() -> None:
    book = Book(resolved=True)
    book.take(OLD)
    book.expect(resolved=True)
    assert book.told is None
    assert book.names == OLD, "workers go on with it"
    assert book.take(NEW) == Names({**OLD.addresses, **NEW.addresses})
    assert not book.anew


def test_where_names_are_wanted_no_more_none_is_known_and_nobody_waits() -> None:
    book = Book(resolved=True)
    book.expect(resolved=False)
    assert book.names == NO_NAMES
    assert not book.anew


def test_half_a_table_changes_nothing() -> None:
    book = Book(resolved=True)
    assert book.take(Names(OLD.addresses, True, False)) is None
    assert (book.names, book.anew) == (None, True)
    assert book.take(Names(NEW.addresses, False, True)) == Names({**OLD.addresses, **NEW.addresses})

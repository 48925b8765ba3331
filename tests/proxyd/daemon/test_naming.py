"""Names for one process that does everything; the resolver's child is in tests/daemon."""

from __future__ import annotations

from pathlib import Path

from proxyd.daemon.naming import OwnResolver
from tests.proxyd.daemon.estates import an_estate
from workers.contract.messages import Looked, Lookup, Names


def test_names_are_resolved_once_for_a_single_process(tmp_path: Path) -> None:
    with an_estate(tmp_path / "log") as estate:
        object.__setattr__(estate, "names", ("localhost",))
        names = OwnResolver(estate).resolve_names()
        assert isinstance(names, Names)
        assert (4, b"\x7f\0\0\x01") in names.addresses["localhost"]


def test_without_names_a_single_process_asks_for_none(tmp_path: Path) -> None:
    with an_estate(tmp_path / "log") as estate:
        assert OwnResolver(estate).resolve_names() == Names({})
        assert not estate.resolving


def test_a_single_process_finds_the_name_of_an_address_by_itself(tmp_path: Path) -> None:
    with an_estate(tmp_path / "log") as estate:
        answer = OwnResolver(estate).answer(Lookup(0, 4, b"\x7f\0\0\x01"))
        assert answer == Looked(0, 4, b"\x7f\0\0\x01", "localhost", 60)

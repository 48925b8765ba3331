"""Names for one process that does everything; the resolver's child is in tests/daemon."""

from __future__ import annotations

from pathlib import Path

from proxyd.daemon.naming import LOOK_NS, DnsNaming, OwnResolver
from proxyd.daemon.roster import Child, Role
from tests.proxyd.daemon.estates import an_estate
from workers.contract.channel import open_channel
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


def test_what_a_resolver_cannot_know_of_the_machine_is_noticed_when_it_has_settled(tmp_path: Path) -> None:
    resolv_conf, hosts = tmp_path / "resolv.conf", tmp_path / "hosts"
    hosts.write_text("10.0.0.1 a\n")
    naming, times = DnsNaming(resolv_conf, hosts), iter(range(0, 100 * LOOK_NS, LOOK_NS))
    ours, theirs = open_channel()
    with an_estate(tmp_path / "log") as estate:

        def look() -> bool:
            return naming.outdated(estate, next(times))

        assert not look(), "there is no resolver"
        naming.plan(estate, Child(Role.RESOLVER, 0), theirs, None)
        assert not look()
        hosts.write_text("# the same\n10.0.0.1 a\n")
        assert [look() for _ in range(3)] == [False] * 3
        hosts.write_text("10.0.0.2 a\n")
        assert not look(), "it may be half written"
        hosts.write_text("10.0.0.2 a b\n")
        assert [look() for _ in range(3)] == [False, True, True]
        naming.plan(estate, Child(Role.RESOLVER, 0), theirs, None)
        assert not look()
        resolv_conf.write_text("nameserver 10.0.0.3\n")
        assert [look() for _ in range(2)] == [False, True]
    ours.close()
    theirs.close()

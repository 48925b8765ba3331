from __future__ import annotations

from proxyd.control.capacity import SESSION_BYTES, limits
from tests.proxyd.config.samples import ACTIONS
from tests.proxyd.control.scene import FIT, facts, settings

TWO = f"session-acl A {{ {ACTIONS} }} session-acl B {{ accept; plug-to [192.0.2.54] : 53; }}"


def test_the_tightest_limit_comes_first() -> None:
    found = limits(FIT, settings())
    assert [limit.what for limit in found][:2] == ["max-sessions", "source ports (28232 towards each of 1)"]
    assert (found[0].sessions, found[1].sessions) == (1000, 28_232)
    assert all(limit.change for limit in found)


def test_each_limit_counts_what_it_holds() -> None:
    machine = facts(files=565, capabilities=frozenset(), memory_bytes=SESSION_BYTES * 300, conntrack=400)
    found = {limit.what.partition(" (")[0]: limit.sessions for limit in limits(machine, settings())}
    assert found == {
        "connection tracking": 200,
        "memory": 300,
        "descriptors": 240,
        "max-sessions": 1000,
        "source ports": 28_232,
    }


def test_source_ports_are_counted_for_each_server() -> None:
    assert [limit.sessions for limit in limits(FIT, settings(acls=TWO)) if "ports" in limit.what] == [56_464]


def test_source_ports_do_not_limit_where_servers_or_sources_are_many() -> None:
    for rule in ("session-acl T { accept; }", f"session-acl P {{ source-address client; {ACTIONS} }}"):
        configuration = settings("transparent [0.0.0.0] port 5300;", acls=rule)
        assert [limit.sessions for limit in limits(FIT, configuration) if "ports" in limit.what] == [None]


def test_no_descriptors_are_no_sessions() -> None:
    machine = facts(files=10, capabilities=frozenset())
    assert limits(machine, settings())[0].sessions == 0

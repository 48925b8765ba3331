"""What programs are told: the state, the rules, the listeners, and every session on one page or another."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from proxyd.control.sessions import session_id
from proxyd.monitor import api
from proxyd.monitor.api import MAX_LIMIT, QueryError
from proxyd.monitor.view import View
from tests.proxyd.monitor.views import LISTENERS, a_view, count_lines, count_rule, hear_of, open_session
from workers.contract.slots import SLOT, Counter, DropReason
from workers.contract.tallies import NO_RULE

SLOTS = 30


def plain(found: dict[str, Any]) -> Any:
    """Return an answer as its reader gets it."""
    return msgspec.json.decode(msgspec.json.encode(found))


def pages(view: View, **query: str) -> list[list[str]]:
    """Return the ids of all pages, in their order."""
    found, cursor = [], ""
    while True:
        page = plain(api.sessions(view, {**query, **({"cursor": cursor} if cursor else {})}))
        found.append([session["id"] for session in page["sessions"]])
        cursor = page["next"]
        if cursor is None:
            return found


def test_the_status_has_every_counter_by_name() -> None:
    with a_view() as view:
        view.regions[0].words[Counter.RECEIVED_OUT] = 5
        view.regions[1].words[Counter.DROPS_OUT + DropReason.REJECTED] = 4
        view.regions[1].words[Counter.LAG + 3] = 6
        hear_of(view, 1, "ns.example:53", 0, 1)
        found = plain(api.status(view))
    assert found["upstreams"] == [{"target": "ns.example:53", "up": False, "answered_unix": None}]
    assert found["out"]["received"] == 5
    assert found["out"]["dropped"]["rejected"] == 4
    assert set(found["in"]["dropped"]) == {reason.name.lower().replace("_", "-") for reason in DropReason}
    assert (found["name"], found["max_sessions"], len(found["workers"])) == ("TEST", 100, 2)
    assert found["workers"][1]["loop_turns"] == 6
    assert found["reload"]["last_failed"] is False


def test_the_status_of_a_relay_of_transfers_has_its_own_words() -> None:
    with a_view(program="uftpproxyd") as view:
        view.regions[0].words[Counter.UFTP_FACTS] = 3
        found = plain(api.status(view))
    assert found["facts"]["groups"] == 3
    assert "no-downstream" in found["out"]["dropped"]
    assert found["sessions_closed"] == {}


def test_rules_come_in_their_order_and_then_what_no_rule_decided() -> None:
    with a_view() as view:
        count_rule(view, 0, "LAN", "normal", 5, 1, 2)
        count_rule(view, 0, NO_RULE, "", 0, 3, 0)
        rows = plain(api.acls(view))["acls"]
    assert [(row["name"], row["accept"], row["accepted"], row["rejected"], row["opened"]) for row in rows] == [
        ("LAN", True, 5, 1, 3),
        ("SYSLOG", True, 0, 0, 0),
        ("REST", False, 0, 0, 0),
        ("(none)", None, 0, 3, 0),
    ]


def test_listeners_have_what_they_received() -> None:
    with a_view() as view:
        count_lines(view, 0, (10, 100, 3), (20, 200, 4))
        view.regions[0].words[Counter.QUEUE_OVERFLOW] = 9
        found = plain(api.listeners(view))
    assert [(row["address"], row["received"], row["overflow"]) for row in found["listeners"]] == [
        (LISTENERS[0].address, 10, 3),
        (LISTENERS[1].address, 20, 4),
    ]
    assert found["listeners"][1]["device"] == "eth0"
    assert found["server_side_overflow"] == 2


@pytest.mark.parametrize("limit", [1, 7, 2 * SLOTS, MAX_LIMIT])
def test_every_session_is_on_one_page(limit: int) -> None:
    with a_view(slots=SLOTS) as view:
        for number in range(0, SLOTS, 2):
            open_session(view, 0, number, client=number)
            open_session(view, 1, SLOTS - 1 - number, client=100 + number)
        found = pages(view, limit=str(limit))
        one_by_one = [name for page in found for name in page]
        expected = {session_id(0, slot, (slot + 1) * 10**9) for slot in range(0, SLOTS, 2)}
    assert all(len(page) <= limit for page in found)
    assert len(one_by_one) == len(set(one_by_one)) == SLOTS
    assert {name for name in one_by_one if name.startswith("0.")} == expected


def test_a_session_says_what_its_record_says() -> None:
    with a_view() as view:
        open_session(view, 1, 2, client=9)
        (session,) = plain(api.sessions(view, {}))["sessions"]
    assert session["client"] == "[10.0.0.9]:4000"
    assert (session["acl"], session["type"], session["listener"]) == ("LAN", "normal", LISTENERS[0].address)
    assert (session["worker"], session["slot"], session["datagrams_in"], session["bytes_out"]) == (1, 2, 1, 40)


def test_a_session_keeps_the_rule_of_the_generation_it_began_in() -> None:
    with a_view() as view:
        open_session(view, 0, 0, rule_index=1)
        open_session(view, 0, 1, rule_index=1, generation=2)
        found = plain(api.sessions(view, {}))["sessions"]
    assert [session["acl"] for session in found] == ["SYSLOG", "#1"]


@pytest.mark.parametrize(
    ("query", "clients"),
    [
        ({"client": "10.0.0.3"}, [3]),
        ({"client": "10.0.0.0/30"}, [1, 2, 3]),
        ({"acl": "SYSLOG"}, [4]),
        ({"worker": "1"}, [3, 4]),
        ({"server": "192.0.2.2:53", "worker": "0"}, [1, 2]),
        ({"type": "normal"}, [1, 2, 3, 4]),
        ({"older": "1e12"}, []),
        ({"idle": "0"}, [1, 2, 3, 4]),
        ({"id": "0.0,1.1"}, [1, 4]),
    ],
)
def test_a_query_is_as_proxyctls_options(query: dict[str, str], clients: list[int]) -> None:
    with a_view() as view:
        for number in range(4):
            open_session(view, number // 2, number % 2, client=number + 1, rule_index=number // 3)
        found = plain(api.sessions(view, query))["sessions"]
    expected = [f"[10.0.0.{client}]:4000" for client in clients]
    if query.get("type"):
        # A rule's kind stands in the record; here all have the first.
        assert len(found) == len(clients)
    assert [session["client"] for session in found] == expected


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("limit", "0", "1 to 1000"),
        ("limit", str(MAX_LIMIT + 1), "1 to 1000"),
        ("limit", "-1", "1 to 1000"),
        ("limit", "x", "1 to 1000"),
        ("limit", "9" * 30, "1 to 1000"),
        ("cursor", "x", "what `next` said"),
        ("cursor", "1.-1", "what `next` said"),
        ("cursor", "1.2.3", "what `next` said"),
        ("cursor", "9" * 30, "what `next` said"),
        ("client", "nowhere", "an address, a network, or one of them with a port"),
        ("type", "usual", "one of one-way, normal, any-port, any-sock, broadcast"),
        ("worker", "one", "a number"),
        ("idle", "nan", "seconds, 0 or more"),
        ("idle", "-1", "seconds, 0 or more"),
        ("older", "soon", "seconds, 0 or more"),
    ],
)
def test_what_is_no_value_is_refused_and_what_would_be_one_is_told(name: str, value: str, wanted: str) -> None:
    with a_view() as view, pytest.raises(QueryError) as told:
        api.sessions(view, {name: value})
    assert str(told.value) == f"{name}: found '{value}'; wanted {wanted}"


def test_what_is_no_parameter_is_refused() -> None:
    with a_view() as view, pytest.raises(QueryError, match=r"no parameter 'sort'; there are id, client, .*, cursor$"):
        api.sessions(view, {"limit": "5", "sort": "age"})


@pytest.mark.parametrize("cursor", ["0.99", "7.0", "7", "0.4000000000"])
def test_a_place_behind_the_end_has_nothing(cursor: str) -> None:
    with a_view() as view:
        open_session(view, 0, 0)
        found = plain(api.sessions(view, {"cursor": cursor}))
    assert (found["sessions"], found["next"]) == ([], None)


def test_records_of_any_bytes_are_sessions_or_left_out() -> None:
    with a_view() as view:
        region = view.regions[0]
        region.words[Counter.TOP] = 1 << 63
        for slot in range(region.slot_count):
            start = region.offset(slot)
            region.memory[start : start + SLOT.size] = bytes((255 - slot,)) * SLOT.size
        assert plain(api.sessions(view, {}))["next"] is None

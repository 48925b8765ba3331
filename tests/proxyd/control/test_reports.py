from __future__ import annotations

from proxyd.control.capacity import Limit
from proxyd.control.doctor import Finding
from proxyd.control.protocol import Checked, Explanation
from proxyd.control.reports import (
    explanation_text,
    findings_text,
    limits_text,
    session_text,
    sessions_text,
    status_text,
)
from tests.proxyd.control.scene import SESSION, state


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_status_tells_all_that_is_going_on() -> None:
    text = status_text(state())
    assert "DNS (udp-proxy 1.2), serving for 1h 01m" in text
    assert "/etc/udp-proxy/dns.cfg, generation 1" in text
    found = lines(text)
    assert ["sessions", "3", "of", "5", "000"] in found
    assert ["listener", "transparent", "[192.0.2.10]:53", "on", "eth0"] in found
    assert ["worker", "0", "4712", "ready", "3"] in found
    assert ["worker", "1", "-", "dead", "0"] in found
    assert ["out", "1", "234", "1", "230", "4", "2.0", "KiB"] in found
    assert "5 more were lost in full socket queues" in text
    assert ["dropped", "out", "rejected", "4"] in found
    assert ["ended", "timeout-both", "2"] in found
    assert "users" not in text


def test_users_and_host_names_are_told_where_there_are_any() -> None:
    assert ["users", "0"] in lines(status_text(state(users=0)))
    assert ["host", "names", "2"] in lines(status_text(state(names=2)))


def test_sessions_that_the_kernel_carries_are_told_where_there_are_any() -> None:
    found = state()
    assert "carried" not in status_text(found)
    found.proxy.totals["carried"] = 2
    assert "3 of 5 000, 2 of them carried by the kernel" in status_text(found)


def test_sessions_are_a_line_each() -> None:
    header, row = lines(sessions_text([SESSION]))
    assert header[:4] == ["ID", "CLIENT", "SERVER", "ACL"]
    assert row == [
        *("0.1.abcde", "[10.0.0.7]:40000", "[203.0.113.1]:53", "A", "normal"),
        *("1h", "01m", "20.0s", "40.0s", "4", "1", "234", "400", "B", "2.0", "KiB"),
    ]
    assert len(lines(sessions_text([]))) == 1


def test_one_session_is_told_in_full() -> None:
    text = session_text(SESSION)
    for part in (
        "0.1.abcde",
        "[192.0.2.10]:53 (transparent)",
        "[192.0.2.10]:5555",
        "A, normal",
        "40.0s (timeout-both)",
    ):
        assert part in text


def test_an_explanation_shows_every_condition() -> None:
    checks = [
        Checked("BAD", "from", "[10.0.0.7]", False, "[10.1.0.0/16]"),
        Checked("OK", "from", "[10.0.0.7]", True, "*"),
    ]
    found = Explanation("accepted", "because", "here", "OK", "normal", "there", None, checks)
    text = lines(explanation_text(found))
    assert text[0] == ["accepted", "because"]
    assert ["rule", "session-acl", "OK,", "normal"] in text
    assert text[-2:] == [
        ["BAD", "from", "[10.0.0.7]", "fails", "[10.1.0.0/16]"],
        ["OK", "from", "[10.0.0.7]", "holds", "*"],
    ]
    nothing = explanation_text(Explanation("dropped", "why", None, None, None, None, None, []))
    assert "CONDITION" not in nothing


def test_findings_come_with_what_mends_them() -> None:
    text = findings_text([Finding("ok", "memory", "enough"), Finding("error", "addresses", "none", "ip address add")])
    assert text.splitlines() == [
        "ok      memory: enough",
        "error   addresses: none",
        "          mend it: ip address add",
    ]


def test_the_limit_that_counts_is_said_first() -> None:
    found = [Limit("descriptors", 1500, "more"), Limit("source ports", None, "-")]
    assert limits_text(found, 12).splitlines()[0] == "1 500 sessions, 12 of them now: descriptors is the limit"
    assert limits_text(found, None).splitlines()[0] == "1 500 sessions: descriptors is the limit"

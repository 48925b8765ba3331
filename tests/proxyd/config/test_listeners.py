from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from proxyd.config.findings import Findings
from proxyd.config.listeners import ListenerCompiler, read_automatic_ports
from tests.proxyd.config.samples import config, errors, load, warnings
from workers.contract.settings import ListenerSettings

INTERFACE = (
    'interface LAN { dev "eth0"; ipv4 [192.0.2.1/24]; ipv6 [2001:db8::1/64];'
    " alias A { ipv4 [192.0.2.2]; } alias B { ipv4 [192.0.2.3]; ipv6 [2001:db8::3]; } virtual what ever; }"
)


def shown(listener: ListenerSettings) -> str:
    mode = "T" if listener.transparent else "N"
    return f"{mode} {listener.address} {listener.port} {listener.device or '-'}"


def listeners(listen: str) -> list[str]:
    return [shown(listener) for listener in load(config(file=INTERFACE, listen=listen)).settings.listeners]


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("non-transparent [127.0.0.1] port 53;", ["N 127.0.0.1 53 -"]),
        ("non-transparent address [::1] port domain;", ["N ::1 53 -"]),
        ("transparent [0.0.0.0] port 7 to 8 proto udp;", ["T 0.0.0.0 7 -", "T 0.0.0.0 8 -"]),
        ("non-transparent iface LAN port 53;", ["N 192.0.2.1 53 eth0", "N 2001:db8::1 53 eth0"]),
        ("non-transparent iface LAN version ipv4 port 53;", ["N 192.0.2.1 53 eth0"]),
        (
            "non-transparent iface LAN alias { A, B } port 53;",
            ["N 192.0.2.2 53 eth0", "N 192.0.2.3 53 eth0", "N 2001:db8::3 53 eth0"],
        ),
        ("non-transparent iface LAN alias { } port 53;", ["N 192.0.2.1 53 eth0", "N 2001:db8::1 53 eth0"]),
        ("non-transparent [127.0.0.1] : 53;", ["N 127.0.0.1 53 -"]),
        ("non-transparent address [127.0.0.1]:53 54;", ["N 127.0.0.1 53 -", "N 127.0.0.1 54 -"]),
        ("transparent iface LAN proto ipv6 53;", ["T 2001:db8::1 53 eth0"]),
        ("non-transparent iface LAN alias A 53 54;", ["N 192.0.2.2 53 eth0", "N 192.0.2.2 54 eth0"]),
        (
            "transparent [0.0.0.0] port 53; non-transparent [0.0.0.0] port 53;",
            ["T 0.0.0.0 53 -", "N 0.0.0.0 53 -"],
        ),
    ],
)
def test_items_are_spread_out_into_sockets(listen: str, expected: list[str]) -> None:
    assert listeners(listen) == expected


@pytest.mark.parametrize(
    ("listen", "message"),
    [
        ("", "found no listener; wanted at least one"),
        ("non-transparent [127.0.0.1] port 54 to 53;", "found the range 54 to 53; wanted its end after its start"),
        ("non-transparent [127.0.0.1] : 54 53;", "found the range 54 to 53"),
        ("non-transparent [127.0.0.1] : 0;", "found no port; wanted a port from 1 to 65535"),
        ("non-transparent [127.0.0.1] port 0;", "found '0'; wanted a port from 1 to 65535"),
        ("non-transparent [127.0.0.1] version ipv6 port 53;", "found version ipv6 with an IPv4 address"),
        ("non-transparent [127.0.0.1] port 53 proto tcp;", "found the protocol 'tcp'; wanted 'udp'"),
        ("non-transparent iface LAM port 53;", "wanted the name of a section 'interface' (did you mean 'LAN'?)"),
        ("non-transparent [fe80::1] port 53;", "found the link-local address [fe80::1]; wanted 'iface'"),
        ("non-transparent iface LAN alias C port 53;", "found 'C'; wanted the name of an alias in 'interface LAN'"),
        (
            "non-transparent iface LAN alias A version ipv6 port 53;",
            "found no address of 'LAN'; wanted an IPv6 address",
        ),
        (
            "non-transparent [127.0.0.1] port 53; non-transparent [127.0.0.1] port 50 to 60;",
            "found port 53 of the same address again; wanted it once; the first is on line 1",
        ),
    ],
)
def test_listeners_that_cannot_be_are_refused(listen: str, message: str) -> None:
    found = errors(config(file=INTERFACE, listen=listen))
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("localhost port 53 to 54", [("127.0.0.1", 53), ("127.0.0.1", 54)]),
        ("localhost version ipv4 port 53", [("127.0.0.1", 53)]),
        ("localhost : 53", [("127.0.0.1", 53)]),
    ],
)
def test_a_name_stands_for_its_addresses_in_the_hosts_file(item: str, expected: list[tuple[str, int]]) -> None:
    found = load(config(listen=f"non-transparent {item};")).settings.listeners
    assert [(text(listener), listener.port) for listener in found if listener.address.version == 4] == expected


def text(listener: ListenerSettings) -> str:
    return str(ip_address(listener.address.value))


def test_a_name_that_the_hosts_file_has_not_is_refused() -> None:
    (found,) = errors(config(listen="non-transparent no-such.invalid port 53;"))
    assert "found the name 'no-such.invalid', for which /etc/hosts has no address; wanted an address" in found
    (found,) = errors(config(listen="non-transparent no-such.invalid version ipv6 port 53;"))
    assert "has no IPv6 address" in found


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("non-transparent [224.0.1.1] port 53", "found the multicast address [224.0.1.1]"),
        ("non-transparent [ff02::1] : 53", "found the multicast address [ff02::1]"),
        ("non-transparent [255.255.255.255] port 53", "found [255.255.255.255], which is no address of this machine"),
    ],
)
def test_an_address_that_no_machine_has_is_warned_of(item: str, message: str) -> None:
    assert any(message in found for found in warnings(config(listen=f"{item};")))


def test_a_link_local_address_is_taken_with_its_link() -> None:
    file = 'interface LINK { dev "eth0"; ipv6 [fe80::1/64]; }'
    found = load(config(file=file, listen="non-transparent iface LINK port 53;")).settings.listeners
    assert list(map(shown, found)) == ["N fe80::1 53 eth0"]


@pytest.mark.parametrize(
    ("ports", "warned"),
    [
        ("20000 to 40000", True),
        ("40000 to 40001", True),
        ("40000", False),
        ("1 to 100", False),
        ("61000 to 61001", False),
    ],
)
def test_ranges_that_meet_the_systems_automatic_ports_are_warned_of(ports: str, warned: bool) -> None:
    tree = load(config(listen=f"non-transparent [127.0.0.1] port {ports};")).tree
    listen = next(tree.sections_of("udp-proxy")).section("listen-on")
    assert listen is not None
    findings = Findings()
    assert ListenerCompiler(tree, (32768, 60999), findings).compile(listen)
    assert bool(findings.warnings) is warned


def test_automatic_ports_are_read_where_the_system_tells_them(tmp_path: Path) -> None:
    file = tmp_path / "range"
    file.write_text("32768\t60999\n")
    assert read_automatic_ports(file) == (32768, 60999)
    file.write_text("nonsense")
    assert read_automatic_ports(file) is None
    assert read_automatic_ports(tmp_path / "missing") is None

"""The two entries of a session, and which sessions have none."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import pytest

from proxyd.offload.flows import Ends, Offer, entries
from proxyd.offload.program import FLOW, LAYOUTS
from proxyd.offload.ways import Way
from tests.kit.session_parts import sock, sock6
from workers.wire.sockaddr import host

OFFER = Offer(3, 17, 1 << 40)
CLIENT, DESTINATION, LOCAL, SERVER = 0x0A00_0002, 0x0A00_0001, 0xC000_0201, 0xC000_0202
FRONT, BACK, LOOPBACK = Way(5, False, 1500), Way(6, False, 1400), Way(1, True, 65_535)
TTL = 31


@dataclass
class Routes:
    """Ways by the last byte of an address's network and host."""

    known: dict[bytes, Way]

    def to(self, address: bytes) -> Way | None:
        return self.known.get(address)


def addresses(version: int) -> list[bytes]:
    """Return the packed addresses of client, destination, our side and server."""
    return [
        (value if version == 4 else value + (0xFD << 120)).to_bytes(4 if version == 4 else 16, "big")
        for value in NUMBERS
    ]


NUMBERS = (CLIENT, DESTINATION, LOCAL, SERVER)


def ends(version: int) -> Ends:
    make = sock if version == 4 else sock6
    first = 0 if version == 4 else 0xFD << 120
    return Ends(
        make(first + CLIENT, 40_000),
        make(first + DESTINATION, 5300),
        make(first + LOCAL, 50_000),
        make(first + SERVER, 53),
        TTL,
    )


def routes(version: int, *ways: Way | None) -> Routes:
    """Return the ways to client, destination, our side and server, those that there are."""
    return Routes({address: way for address, way in zip(addresses(version), ways, strict=True) if way is not None})


def ports(*numbers: int) -> bytes:
    return struct.pack(f"!{len(numbers)}H", *numbers)


@pytest.mark.parametrize("version", [4, 6])
def test_each_direction_is_found_as_it_comes_in_and_leaves_with_the_other_sides_addresses(version: int) -> None:
    found = entries(OFFER, ends(version), routes(version, FRONT, LOOPBACK, LOOPBACK, BACK))
    client, destination, local, server = addresses(version)
    assert found is not None
    there, back = found
    assert there.key == client + destination + ports(40_000, 5300) + struct.pack("=I", 5)
    assert there.value == FLOW.pack(3, 17, 1 << 40, 0, 6, 1400, TTL) + local + server + ports(50_000, 53)
    assert back.key == server + local + ports(53, 50_000) + struct.pack("=I", 6)
    assert back.value == FLOW.pack(3, 17, 1 << 40, 1, 5, 1500, TTL) + destination + client + ports(5300, 40_000)
    assert {len(entry.key) for entry in found} == {LAYOUTS[version].key_bytes}


def test_what_stays_on_this_machine_leaves_by_no_interface() -> None:
    found = entries(OFFER, ends(4), routes(4, LOOPBACK, LOOPBACK, LOOPBACK, LOOPBACK))
    assert found is not None
    assert [FLOW.unpack_from(entry.value)[4] for entry in found] == [0, 0]
    assert [entry.key[-4:] for entry in found] == [struct.pack("=I", 1)] * 2


@pytest.mark.parametrize(
    "ways",
    [
        pytest.param((LOOPBACK, LOOPBACK, LOOPBACK, BACK), id="the client is here, the server elsewhere"),
        pytest.param((FRONT, LOOPBACK, LOOPBACK, LOOPBACK), id="the server is here, the client elsewhere"),
        pytest.param((None, LOOPBACK, LOOPBACK, BACK), id="there is no way to the client"),
        pytest.param((FRONT, LOOPBACK, LOOPBACK, None), id="there is no way to the server"),
        pytest.param((FRONT, FRONT, LOOPBACK, BACK), id="the client writes to an address that is not ours"),
        pytest.param((FRONT, LOOPBACK, BACK, BACK), id="we write from an address that is not ours"),
        pytest.param((FRONT, None, LOOPBACK, BACK), id="nobody knows what the client writes to"),
        pytest.param((FRONT, LOOPBACK, None, BACK), id="nobody knows what we write from"),
    ],
)
def test_a_session_that_the_kernel_cannot_carry_has_no_entries(ways: tuple[Way | None, ...]) -> None:
    assert entries(OFFER, ends(4), routes(4, *ways)) is None


def test_a_session_between_the_versions_has_no_entries() -> None:
    four, six = ends(4), ends(6)
    mixed = four._replace(client=six.client, destination=six.destination)
    known = routes(4, FRONT, LOOPBACK, LOOPBACK, BACK).known | routes(6, FRONT, LOOPBACK, LOOPBACK, BACK).known
    assert (four.version, six.version, mixed.version) == (4, 6, 0)
    assert entries(OFFER, mixed, Routes(known)) is None


def test_the_host_of_a_raw_address_is_its_packed_address() -> None:
    assert host(sock(CLIENT, 1)) == CLIENT.to_bytes(4, "big")
    assert host(sock6(CLIENT, 1)) == CLIENT.to_bytes(16, "big")

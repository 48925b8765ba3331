"""Ways as a real kernel has them, in a namespace of the test's own."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from proxyd.offload.ways import Way, Ways
from tests.kit.lab import PREFIX
from tests.kit.place import Namespace
from tests.kit.requirement import requires_program, requires_root

pytestmark = [requires_root, requires_program("ip")]
LOOPBACK = 1
MTU = 1400


class Scene:
    """A machine with a network at `front`, whose other end is `far`, and its ways."""

    def __init__(self) -> None:
        self.place = Namespace(f"{PREFIX}-ways-{os.getpid()}")
        self.place.make()
        self.place.configure(
            [
                f"link add front mtu {MTU} type veth peer name far",
                "link set front addrgenmode none up",
                "link set far addrgenmode none up",
                "addr add 10.9.0.1/24 dev front",
                "addr add fd09::1/64 dev front nodad",
                "route add 10.10.0.0/16 via 10.9.0.2",
                "route add blackhole 10.11.0.0/16",
                "route add 10.13.0.0/16 via 10.9.0.2 mtu 1000",
                "route add fd13::/64 dev front mtu 1300",
                "route add fd14::/64 via fd09::2",
            ]
        )
        self.ways = self.place.call(Ways)
        self.front = self.place.call(lambda: socket.if_nametoindex("front"))
        self.settle()

    def to(self, address: str) -> Way | None:
        return self.place.call(lambda: self.ways.to(ip_address(address).packed))

    def settle(self) -> bool:
        """Take in all news there are; tell whether there were any."""
        return any(iter(self.ways.changed, False))

    def change(self, *commands: str) -> None:
        """Change the machine; the news have come when this returns."""
        self.place.configure(commands)
        news = select.poll()
        news.register(self.ways.fileno(), select.POLLIN)
        assert news.poll(60_000)


@pytest.fixture(scope="module")
def made() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.ways.close()
    scene.place.close()


@pytest.fixture
def scene(made: Scene) -> Scene:
    made.settle()
    return made


@pytest.mark.parametrize("address", ["10.9.0.2", "10.10.3.4", "fd09::2"])
def test_the_way_to_another_machine_is_an_interface_and_its_longest_packet(scene: Scene, address: str) -> None:
    assert scene.to(address) == Way(scene.front, local=False, longest=MTU)


@pytest.mark.parametrize(("address", "longest"), [("10.13.1.1", 1000), ("fd13::1", 1300), ("fd14::1", 1280)])
def test_a_packet_is_no_longer_than_its_route_says_nor_than_all_paths_take_where_routers_do_not_fragment(
    scene: Scene, address: str, longest: int
) -> None:
    assert scene.to(address) == Way(scene.front, local=False, longest=longest)


@pytest.mark.parametrize("address", ["10.9.0.1", "127.0.0.1", "127.9.9.9", "fd09::1", "::1"])
def test_the_way_to_this_machine_is_its_loopback(scene: Scene, address: str) -> None:
    assert scene.to(address) == Way(LOOPBACK, local=True, longest=65_535)


@pytest.mark.parametrize("address", ["10.9.0.255", "239.1.2.3", "10.11.0.1", "10.12.0.1", "255.255.255.255", "fd10::1"])
def test_there_is_no_way_to_many_machines_or_to_none(scene: Scene, address: str) -> None:
    assert scene.to(address) is None


def test_a_way_is_remembered_until_something_changes(scene: Scene) -> None:
    assert scene.to("10.20.0.1") is None
    scene.change("route add 10.20.0.0/16 via 10.9.0.3")
    assert scene.to("10.20.0.1") is None
    assert scene.settle()
    assert scene.to("10.20.0.1") == Way(scene.front, local=False, longest=MTU)


CHANGES: dict[str, tuple[str, str]] = {
    "a route": ("route add 10.21.0.0/16 dev front", "route del 10.21.0.0/16"),
    "a route of IPv6": ("route add fd21::/64 dev front", "route del fd21::/64"),
    "an address": ("addr add 10.22.0.1/32 dev front", "addr del 10.22.0.1/32 dev front"),
    "an address of IPv6": ("addr add fd22::1/128 dev front nodad", "addr del fd22::1/128 dev front"),
    "an interface": (f"link set front mtu {MTU + 1}", f"link set front mtu {MTU}"),
}


@pytest.mark.parametrize(("there", "back"), CHANGES.values(), ids=CHANGES)
def test_a_change_of_anything_that_ways_depend_on_is_noticed(scene: Scene, there: str, back: str) -> None:
    for change in (there, back):
        scene.change(change)
        assert scene.ways.changed()
        scene.settle()


def test_many_changes_at_once_are_noticed_all_the_same(scene: Scene) -> None:
    scene.change(*(f"route add 10.30.{number}.0/24 dev front" for number in range(200)))
    assert scene.settle()
    assert scene.to("10.30.199.1") == Way(scene.front, local=False, longest=MTU)
    scene.change(*(f"route del 10.30.{number}.0/24" for number in range(200)))
    scene.settle()


@pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="missing: /dev/net/tun")
def test_interfaces_whose_frames_begin_otherwise_are_not_among_the_framed(scene: Scene) -> None:
    scene.change("tuntap add dev tunnel mode tun")
    index: Callable[[str], int] = socket.if_nametoindex
    framed, others = scene.place.call(lambda: (scene.ways.framed(), [index(name) for name in ("front", "far")]))
    assert sorted(framed) == sorted([LOOPBACK, *others])
    scene.change("link del tunnel")


def test_nobody_asks_after_it_is_closed() -> None:
    ways = Ways()
    ways.close()
    assert ways.fileno() == -1
    assert ways.to(b"\x7f\0\0\1") is None

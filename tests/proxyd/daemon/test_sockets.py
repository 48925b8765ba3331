"""Listening sockets: their options, their groups, and that nobody else is let in or overlooked."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator

import pytest

from proxyd.daemon.activation import Given
from proxyd.daemon.demands import Choice, Wishes
from proxyd.daemon.sockets import (
    adapt,
    bind_listeners,
    bound_event,
    close_all,
    describe,
    is_astray,
    join,
    open_more,
    raw_sockaddr,
)
from proxyd.errors import SetupError
from tests.kit.place import Namespace
from tests.kit.requirement import requires_namespaces, requires_root
from tests.kit.traffic import network_of_its_own
from tests.workers.forked import in_child
from workers import sandbox
from workers.contract.settings import Address, ListenerSettings
from workers.net import cbpf

Group = tuple[tuple[socket.socket, ...], ...]
LOOPBACK6 = Address(6, 1)
NOBODY = 65534
ANY = Address(4, 0)
_numbers = itertools.count(1)


def own_address() -> Address:
    """Return a loopback address that no other test process uses at this time."""
    process = os.getpid()
    return Address(4, 127 << 24 | (process >> 8 & 0x3F | 0x80) << 16 | (process & 0xFF) << 8 | next(_numbers) % 250 + 1)


def listener(address: Address, port: int = 5300) -> ListenerSettings:
    return ListenerSettings(address, port)


def text(address: Address) -> str:
    return socket.inet_ntoa(address.value.to_bytes(4, "big"))


@pytest.fixture
def bound() -> Iterator[list[Group]]:
    """What a test puts here is closed after it."""
    groups: list[Group] = []
    yield groups
    for group in groups:
        for sockets in group:
            close_all(sockets)


def stranger(address: Address, port: int, *, reuse: bool = True) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if reuse:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((text(address), port))
    return sock


def test_each_worker_gets_one_socket_of_each_listener_in_order(bound: list[Group]) -> None:
    addresses = [own_address(), own_address()]
    group = bind_listeners([listener(address) for address in addresses], 3)
    bound.append(group)
    assert len(group) == 3
    for sockets in group:
        assert [sock.getsockname() for sock in sockets] == [(text(address), 5300) for address in addresses]
        assert not any(sock.getblocking() or sock.get_inheritable() for sock in sockets)


def test_the_kernel_spreads_clients_over_every_socket_of_a_group(bound: list[Group]) -> None:
    address = own_address()
    group = bind_listeners([listener(address)], 4)
    bound.append(group)
    for _ in range(200):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"x", (text(address), 5300))
    received = [len(list(iter(lambda sock=sock: _receive(sock), None))) for (sock,) in group]  # type: ignore[misc]
    assert sum(received) == 200
    assert min(received) > 10


def _receive(sock: socket.socket) -> bytes | None:
    try:
        return sock.recv(100)
    except BlockingIOError:
        return None


@pytest.mark.parametrize("reuse", [True, False])
def test_a_place_that_is_taken_is_refused_even_by_a_socket_that_would_share_it(reuse: bool) -> None:
    address = own_address()
    with stranger(address, 5300, reuse=reuse), pytest.raises(SetupError) as caught:
        bind_listeners([listener(address)], 2)
    assert str(caught.value) == f"bind [{text(address)}]:5300: Address already in use"


def test_a_wildcard_is_refused_when_any_address_of_its_port_is_taken(bound: list[Group]) -> None:
    address = own_address()
    with stranger(address, 0) as taken, pytest.raises(SetupError, match="in use"):
        bind_listeners([listener(Address(4, 0), taken.getsockname()[1])], 1)


def test_an_address_is_refused_when_a_strangers_wildcard_covers_it() -> None:
    with stranger(Address(4, 0), 0) as taken, pytest.raises(SetupError, match="in use"):
        bind_listeners([listener(own_address(), taken.getsockname()[1])], 1)


def test_nothing_stays_open_when_one_listener_cannot_be_had() -> None:
    free, taken = own_address(), own_address()
    with stranger(taken, 5300), pytest.raises(SetupError):
        bind_listeners([listener(free), listener(taken)], 2)
    with stranger(free, 5300, reuse=False):
        pass


def test_a_second_group_on_the_same_place_is_refused(bound: list[Group]) -> None:
    address = own_address()
    bound.append(bind_listeners([listener(address)], 2))
    with pytest.raises(SetupError, match="in use"):
        bind_listeners([listener(address)], 2)


def test_our_own_wildcard_and_address_of_one_port_live_together_in_either_order(bound: list[Group]) -> None:
    with stranger(Address(4, 0), 0) as probe:
        port = probe.getsockname()[1]
    address = own_address()
    wanted = [listener(address, port), listener(Address(4, 0), port), listener(Address(6, 0), port)]
    group = bind_listeners(wanted, 2)
    bound.append(group)
    names = [sock.getsockname()[0] for sock in group[1]]
    assert names == [text(address), "0.0.0.0", "::"]


def test_an_address_the_machine_has_not_is_told_as_that() -> None:
    with pytest.raises(SetupError) as caught:
        bind_listeners([listener(Address(4, 0xC000_0201))], 1)
    assert str(caught.value) == "bind [192.0.2.1]:5300: the address is not configured on this machine"


@pytest.mark.parametrize("address", [Address(4, 127 << 24 | 1), LOOPBACK6], ids=["IPv4", "IPv6"])
def test_the_largest_datagrams_can_be_sent_and_received(bound: list[Group], address: Address) -> None:
    group = bind_listeners([listener(address, 0)], 1)
    bound.append(group)
    ((sock,),) = group
    with socket.socket(sock.family, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.sendto(b"q" * 65_507, sock.getsockname())
        question, source = sock.recvfrom(65_536)
        sock.sendto(question, source)
        assert client.recv(65_536) == b"q" * 65_507


def test_wildcards_tell_which_address_the_client_used(bound: list[Group]) -> None:
    group = bind_listeners([listener(Address(4, 0), 0), listener(Address(6, 0), 0)], 1)
    bound.append(group)
    for sock, target, level, kind in (
        (group[0][0], "127.0.0.2", socket.IPPROTO_IP, 8),
        (group[0][1], "::1", socket.IPPROTO_IPV6, socket.IPV6_PKTINFO),
    ):
        with socket.socket(sock.family, socket.SOCK_DGRAM) as client:
            client.sendto(b"x", (target, sock.getsockname()[1]))
        _, control, _, _ = sock.recvmsg(100, 1000)
        assert (level, kind) in [(found, which) for found, which, _ in control]


def test_options_are_set(bound: list[Group]) -> None:
    group = bind_listeners([listener(own_address()), listener(LOOPBACK6, 0)], 1)
    bound.append(group)
    four, six = group[0]
    for sock in (four, six):
        assert sock.getsockopt(socket.SOL_SOCKET, 40) == 1  # SO_RXQ_OVFL
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 1
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > 300_000
    assert six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    assert four.getsockopt(socket.IPPROTO_IP, 10) == six.getsockopt(socket.IPPROTO_IPV6, 23) == 0  # PMTUDISC_DONT


def option(sock: socket.socket, level: int, name: int) -> int:
    return sock.getsockopt(level, name)


@requires_root
@pytest.mark.parametrize(("version", "level", "name"), [(4, socket.IPPROTO_IP, 19), (6, socket.IPPROTO_IPV6, 75)])
def test_a_transparent_listener_may_answer_from_any_address_and_another_may_not(
    bound: list[Group], version: int, level: int, name: int
) -> None:
    any_address = Address(version, 0)
    bound.append(bind_listeners([ListenerSettings(any_address, 0, True), ListenerSettings(any_address, 0)], 1))
    foreign, own = bound[0][0]
    assert [option(sock, level, name) for sock in (foreign, own)] == [1, 0]


@requires_root
def test_broadcast_rules_change_the_ipv4_wildcards_and_no_other_listener(bound: list[Group]) -> None:
    wanted = [listener(Address(4, 0), 0), listener(own_address(), 0), listener(Address(6, 0), 0)]
    bound.append(bind_listeners(wanted, 1, Wishes(forged=True)))
    found = [
        (option(sock, socket.IPPROTO_IP, 12), option(sock, socket.IPPROTO_IP, 19), option(sock, socket.SOL_SOCKET, 6))
        for sock in bound[0][0]
    ]
    assert found == [(1, 1, 1), (0, 0, 0), (0, 0, 0)]


def test_the_type_of_service_is_told_where_a_rule_asks_for_it(bound: list[Group]) -> None:
    wanted = [listener(own_address(), 0), listener(LOOPBACK6, 0)]
    bound.append(bind_listeners(wanted, 1, Wishes(tos=True)))
    bound.append(bind_listeners(wanted, 1))
    for (four, six), expected in ((bound[0][0], 1), (bound[1][0], 0)):
        assert option(four, socket.IPPROTO_IP, 13) == option(six, socket.IPPROTO_IPV6, 66) == expected


@requires_root
def test_all_that_comes_meets_in_the_first_worker_where_it_must(bound: list[Group]) -> None:
    group = bind_listeners([ListenerSettings(Address(4, 0), 0, True)], 3, Wishes(transparent=Choice.FIRST))
    bound.append(group)
    for _ in range(30):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"x", ("127.0.0.1", group[0][0].getsockname()[1]))
    assert received(group) == [30, 0, 0]


@requires_root
@pytest.mark.parametrize("shared", [True, False])
def test_workers_may_bind_a_listeners_port_where_rules_force_it_and_nobody_else(
    bound: list[Group], shared: bool
) -> None:
    address = own_address()
    wishes = Wishes(shared=shared, transparent=Choice.FIRST)
    bound.append(bind_listeners([ListenerSettings(ANY, 0, True, "lo")], 2, wishes, NOBODY))
    port = bound[0][0][0].getsockname()[1]

    def bind_as(user: int) -> str:
        def act() -> None:
            os.setresuid(user, user, user)
            with stranger(address, port):
                pass

        return in_child(act)

    refused = "OSError: [Errno 98] Address already in use"
    assert [bind_as(NOBODY), bind_as(1)] == ["None" if shared else refused, refused]


@requires_root
def test_what_one_client_sends_meets_in_one_worker_whoever_it_is_sent_to(bound: list[Group]) -> None:
    group = bind_listeners([ListenerSettings(Address(4, 0), 0, True)], 4, Wishes(transparent=Choice.CLIENT))
    bound.append(group)
    busy = set()
    for _ in range(40):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for number in range(1, 6):
                client.sendto(b"x", (f"127.0.0.{number}", group[0][0].getsockname()[1]))
        counts = received(group)
        assert sorted(counts) == [0, 0, 0, 5]
        busy.add(counts.index(5))
    assert busy == {0, 1, 2, 3}


def received(group: Group) -> list[int]:
    return [len(list(iter(lambda sock=sock: _receive(sock), None))) for (sock,) in group]  # type: ignore[misc]


@requires_root
def test_a_listener_on_a_device_hears_that_device_alone(bound: list[Group]) -> None:
    with stranger(Address(4, 0), 0) as probe:
        port = probe.getsockname()[1]
    device = socket.if_indextoname(1)
    wanted = [listener(own_address(), port), ListenerSettings(Address(4, 0), port, True, device), listener(ANY, port)]
    group = bind_listeners(wanted, 2)
    bound.append(group)
    names = [option(sock, socket.SOL_SOCKET, 62) for sock in group[1]]  # SO_BINDTOIFINDEX
    assert names == [0, 1, 0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", ("127.0.0.1", port))
    assert [sum(_receive(sock) is not None for sock in socks) for socks in zip(*group, strict=True)] == [0, 1, 0]


@requires_namespaces
def test_a_listener_is_astray_when_its_device_was_made_anew() -> None:
    with network_of_its_own("link add left type veth") as place:
        wanted = ListenerSettings(ANY, 5300, True, "left")
        ((sock,),) = place.call(lambda: bind_listeners([wanted], 1))
        with sock:
            assert not place.call(lambda: is_astray(wanted, sock))
            place.configure(["link del left"])
            assert not place.call(lambda: is_astray(wanted, sock))
            place.configure(["link add left type veth"])
            assert place.call(lambda: is_astray(wanted, sock))
            assert not place.call(lambda: is_astray(ListenerSettings(ANY, 5300), sock))


@requires_root
def test_a_stranger_is_found_under_a_listener_on_a_device() -> None:
    with stranger(own_address(), 0) as taken, pytest.raises(SetupError, match=r"on lo: Address already in use"):
        bind_listeners([ListenerSettings(ANY, taken.getsockname()[1], True, socket.if_indextoname(1))], 1)


@requires_namespaces
def test_a_stranger_is_found_on_the_second_device_too() -> None:
    place = Namespace(f"pxd-{os.getpid()}-1-sockets")
    try:
        place.make()
        place.configure(["link add left type veth", "link set left up"])
        listeners = [ListenerSettings(ANY, 5300, True, device) for device in ("lo", "left")]
        with place.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            taken.setsockopt(socket.SOL_SOCKET, 25, b"left")  # SO_BINDTODEVICE
            taken.bind(("", 5300))
            with pytest.raises(SetupError, match=r"on left: Address already in use"):
                place.call(lambda: bind_listeners(listeners, 2))
        for socks in place.call(lambda: bind_listeners(listeners, 2)):
            close_all(socks)
    finally:
        place.close()


def test_of_a_transparent_listener_its_device_is_told_too() -> None:
    raw = raw_sockaddr(ListenerSettings(ANY, 69))
    assert bound_event(ListenerSettings(ANY, 69, True, "eth0"), 2) == ("bound-transparently", raw, "eth0", 2)
    assert bound_event(ListenerSettings(ANY, 69, True), 2)[2:] == ("every interface", 2)
    assert bound_event(ListenerSettings(ANY, 69), 2) == ("bound", raw, 2)


def test_a_device_that_is_not_there_is_told() -> None:
    with pytest.raises(SetupError, match=r"\[0.0.0.0\]:5300 on no-such: this machine has no such interface"):
        bind_listeners([ListenerSettings(ANY, 5300, device="no-such")], 1)


@requires_root
def test_a_missing_right_to_foreign_answers_is_told() -> None:
    def act() -> None:
        sandbox.drop_capabilities()
        bind_listeners([ListenerSettings(ANY, 5300, True)], 1)

    assert "CAP_NET_RAW is needed for answers from other machines' addresses" in in_child(act)


def test_listeners_are_described_for_people_and_for_the_log() -> None:
    four, six = listener(Address(4, 127 << 24 | 1), 53), listener(LOOPBACK6, 53)
    assert [describe(four), describe(six)] == ["[127.0.0.1]:53", "[::1]:53"]
    assert describe(ListenerSettings(ANY, 69, True, "eth0")) == "[0.0.0.0]:69 on eth0"
    assert describe(ListenerSettings(LOOPBACK6, 69, False, "eth0")) == "[::1]:69"
    assert raw_sockaddr(four) == b"\x02\x00\x00\x35\x7f\x00\x00\x01" + bytes(8)
    assert raw_sockaddr(six) == b"\x0a\x00\x00\x35" + bytes(4) + bytes(15) + b"\x01" + bytes(4)


def test_a_link_local_address_is_bound_on_its_interface() -> None:
    link_local = Address(6, 0xFE80 << 112 | 1)
    with pytest.raises(SetupError, match=r"bind \[fe80::1\]:5300"):
        bind_listeners([ListenerSettings(link_local, 5300, device="no-such-device")], 1)


def test_a_wildcard_is_bound_beside_an_address_of_ours_that_stands_already(bound: list[Group]) -> None:
    with stranger(Address(4, 0), 0) as probe:
        port = probe.getsockname()[1]
    narrow, wide = listener(own_address(), port), listener(ANY, port)
    bound.append(bind_listeners([narrow], 2))
    with pytest.raises(SetupError, match="already in use"):
        bind_listeners([wide], 2)
    bound.append(bind_listeners([wide], 2, standing=[narrow]))


@pytest.mark.parametrize("standing", [listener(Address(4, 1), 5301), listener(Address(6, 0)), listener(Address(4, 2))])
def test_what_stands_elsewhere_hides_no_stranger(standing: ListenerSettings) -> None:
    address = own_address()
    with stranger(address, 5300), pytest.raises(SetupError, match="already in use"):
        bind_listeners([listener(address)], 2, standing=[standing])


def test_sockets_that_stand_get_the_options_that_new_rules_wish_for(bound: list[Group]) -> None:
    place = listener(own_address())
    bound.append(bind_listeners([place], 2))
    adapt(bound[0], [place], Wishes(tos=True))
    assert [group[0].getsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS) for group in bound[0]] == [1, 1]


def test_sockets_of_ipv6_that_stand_get_options_too(bound: list[Group]) -> None:
    place = listener(LOOPBACK6, 0)
    bound.append(bind_listeners([place], 2))
    adapt(bound[0], [place], Wishes(tos=True))
    assert [group[0].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS) for group in bound[0]] == [1, 1]


def test_more_sockets_are_bound_to_nothing_before_they_join_and_have_the_options_of_the_others(
    bound: list[Group],
) -> None:
    place = listener(own_address())
    bound.append(bind_listeners([place], 1, Wishes(tos=True)))
    first, more = bound[0][0][0], open_more(place, 2, Wishes(tos=True))
    bound.append((tuple(more),))
    assert [sock.getsockname()[1] for sock in more] == [0, 0]
    for sock in more:
        join(sock, first)
        assert sock.getsockname() == first.getsockname()
        assert (sock.getblocking(), sock.get_inheritable()) == (False, False)
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS) == 1


def test_more_sockets_for_a_device_that_has_gone_are_none(bound: list[Group]) -> None:
    gone = ListenerSettings(Address(4, 0), 0, device="nosuch0")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - only how many
    with pytest.raises(SetupError, match="this machine has no such interface"):
        open_more(gone, 2)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - only how many


def given(*sockets: socket.socket) -> Given:
    """Return these as a service manager would have passed them."""
    return Given({os.dup(sock.fileno()): "a.socket" for sock in sockets})


@pytest.mark.parametrize("reuse", [True, False])
def test_a_socket_that_was_passed_is_the_first_of_its_group_and_keeps_what_waits(
    bound: list[Group], reuse: bool
) -> None:
    address = own_address()
    with stranger(address, 5300, reuse=reuse) as passed:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"early", (text(address), 5300))
        units = given(passed)
        group = bind_listeners([listener(address)], 3, given=units)
        bound.append(group)
        assert [_receive(sock) for (sock,) in group] == [b"early", None, None]
        for _ in range(100):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"x", (text(address), 5300))
        received = [len(list(iter(lambda sock=sock: _receive(sock), None))) for (sock,) in group]  # type: ignore[misc]
        assert sum(received) == 100
        assert min(received) > 5
        units.close()


def test_a_socket_that_was_passed_has_the_options_of_any_other(bound: list[Group]) -> None:
    with stranger(Address(4, 0), 0, reuse=False) as passed:
        port = passed.getsockname()[1]
        units = given(passed)
        group = bind_listeners([listener(ANY, port)], 2, Wishes(tos=True), given=units)
        bound.append(group)
        (first,), (second,) = group
        options = [(socket.IPPROTO_IP, 8), (socket.IPPROTO_IP, 13), (socket.IPPROTO_IP, 10), (socket.SOL_SOCKET, 40)]
        for option in (*options, (socket.SOL_SOCKET, socket.SO_RCVBUF)):
            assert first.getsockopt(*option) == second.getsockopt(*option), option
        assert not first.getblocking()
        units.close()


def test_a_wildcard_and_an_address_that_was_passed_live_together(bound: list[Group]) -> None:
    address = own_address()
    with stranger(address, 0, reuse=False) as passed:
        port = passed.getsockname()[1]
        units = given(passed)
        bound.append(bind_listeners([listener(ANY, port), listener(address, port)], 2, given=units))
        units.close()


def test_what_an_earlier_run_had_a_group_choose_by_is_over(bound: list[Group]) -> None:
    """One program more would be left: its number of sockets is another one, or all clients are the first's."""
    address = Address(4, 0)
    with stranger(address, 0, reuse=False) as passed:
        place = ListenerSettings(address, passed.getsockname()[1])
        for spread in (1, 2):
            units = given(passed)
            group = bind_listeners([place], 2, given=units)
            if spread == 1:
                cbpf.attach_steering(group[0][0], cbpf.always(0))
            for _ in range(60):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                    client.sendto(b"x", ("127.0.0.1", place.port))
            received = [len(list(iter(lambda sock=sock: _receive(sock), None))) for (sock,) in group]  # type: ignore[misc]
            assert sum(received) == 60
            assert sum(count > 0 for count in received) == spread
            for sockets in group:
                close_all(sockets)
            units.close()

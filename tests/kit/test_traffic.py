"""The sockets and configurations of the datapath's tests."""

from __future__ import annotations

import socket

from tests.kit.requirement import requires_namespaces
from tests.kit.traffic import (
    UDP_GRO,
    forward_to,
    listen,
    network_of_its_own,
    numbered,
    receive,
    send_train,
    udp,
    waiting,
)


def test_a_train_is_as_many_datagrams_to_who_does_not_take_trains():
    payloads = [b"a" * 10, b"b" * 10, b"c"]
    with udp() as plain, udp() as taking, udp() as sender:
        taking.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        for target in (plain, taking):
            send_train(sender, payloads, target.getsockname())
        assert receive(plain, 3) == payloads
        assert waiting(taking) == [b"".join(payloads)]
        assert waiting(taking) == []


def test_numbered_payloads_are_all_different():
    payloads = [*numbered(50, 20), *numbered(50, 20, mark=1)]
    assert len(set(payloads)) == 100
    assert {len(payload) for payload in payloads} == {20}


def test_settings_say_where_the_sockets_are():
    settings, sockets = listen([forward_to(("127.0.0.1", 9))], ("127.0.0.1", "::1"), fast_path=False)
    assert [sock.getsockname()[1] for sock in sockets] == [listener.port for listener in settings.listeners]
    assert [listener.address.version for listener in settings.listeners] == [4, 6]
    assert not settings.fast_path


@requires_namespaces
def test_a_network_of_its_own_is_set_up_and_gone_afterwards():
    with network_of_its_own("link set lo mtu 1400") as place:
        assert place.call(socket.if_nameindex)[0][1] == "lo"
        assert "mtu 1400" in place.run(["ip", "link", "show", "lo"]).stdout
    assert not place.path.exists()

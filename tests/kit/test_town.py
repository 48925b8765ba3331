"""A town has the hosts, interfaces, addresses and routes that were asked for, and nothing of it is left."""

from __future__ import annotations

from tests.kit.place import Place
from tests.kit.requirement import requires_namespaces
from tests.kit.town import Plug, Town

HOSTS = {
    "one": {"eth0": Plug("inside", "192.0.2.7/24")},
    "two": {"eth0": Plug("inside", "192.0.2.1/24"), "eth1": Plug("outside")},
}


@requires_namespaces
def test_hosts_reach_each_other_by_their_addresses() -> None:
    with Town(HOSTS, {"one": "192.0.2.1"}) as town:
        name = town["one"].name
        assert "192.0.2.1" in town["one"].run(["ip", "route", "get", "198.51.100.1"]).stdout
        assert "eth1" in town["two"].run(["ip", "-br", "link"]).stdout
        with town["two"].socket() as server, town["one"].socket() as client:
            server.bind(("192.0.2.1", 0))
            server.settimeout(20)
            client.sendto(b"hello", server.getsockname())
            assert server.recvfrom(10)[1][0] == "192.0.2.7"
    assert name not in Place().run(["ip", "netns", "list"]).stdout

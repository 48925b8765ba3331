from __future__ import annotations

from tests.kit.lab import Lab
from tests.kit.requirement import requires_namespaces
from tests.kit.way import WAYS, port_of


@requires_namespaces
def test_a_way_has_a_client_before_the_proxy_and_a_server_behind_it(lab: Lab) -> None:
    for way in WAYS.values():
        assert way.listen(53) == f"non-transparent [{way.front}] port 53;"
        with lab.proxy.socket(way.family) as front, lab.proxy.socket(way.family) as back:
            front.bind((way.front, 53))
            back.bind((way.back, 0))
            with way.client_socket(lab, 53) as client, way.server_socket(lab, 54) as server:
                client.send(b"in front")
                assert front.recvfrom(100)[1][:2] == (way.client, port_of(client))
                back.sendto(b"behind", (way.server, 54))
                assert server.recvfrom(100)[1][:2] == (way.back, port_of(back))

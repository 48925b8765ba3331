from __future__ import annotations

from pathlib import Path

from tests.kit.peers import udp_peer
from tests.kit.place import Place
from tests.kit.ports import free_port
from tests.kit.proxy import Configuration, acl, launch, udp_proxy, unique_name

WAIT_S = 10.0


def test_a_datagram_goes_through_the_proxy_and_back(tmp_path: Path, here: Place) -> None:
    peer, port = udp_peer(here, "echo", "127.0.0.1"), free_port()
    rule = acl(f"[127.0.0.1] : {peer.port}")
    proxy = udp_proxy(here, tmp_path, Configuration(f"non-transparent [127.0.0.1] port {port};", rule))
    with here.socket() as client:
        client.settimeout(WAIT_S)
        client.connect(("127.0.0.1", port))
        client.send(b"there and back")
        assert client.recv(100) == b"there and back"
    assert peer.counts()["received"] == 1
    assert "SESSION-START" in proxy.wait_for("UDPP-710-I")
    assert proxy.stop() == 0


def test_a_refused_configuration_ends_with_its_status_and_its_place(tmp_path: Path, here: Place) -> None:
    process = launch(here, tmp_path, Configuration("non-transparent [127.0.0.1] prot 53;", "").text)
    assert process.wait() == 1
    assert f"{tmp_path}/udp-proxy.cfg:4:" in process.output


def test_sections_have_names_of_their_own() -> None:
    assert unique_name() != unique_name()

"""A server that answers from another address than the one that was asked, behind a listener of the proxy's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.installed import assert_balanced, requires_installed, serve
from tests.kit.lab import BACK, Lab
from tests.kit.proxy import Configuration, acl
from tests.kit.requirement import requires_namespaces
from tests.kit.way import WAIT_S, WAYS, Way, port_of

PORT = 7000

pytestmark = requires_installed


@requires_namespaces
@pytest.mark.parametrize("fast_path", ["on", "off"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("kind", ["any-sock", "any-port", "normal"])
def test_an_answer_from_another_address_passes_in_any_sock_alone_k32_k35_k39_k40(
    tmp_path: Path, lab: Lab, way: Way, fast_path: str, kind: str
) -> None:
    other = BACK.address4(77) if way.version == 4 else BACK.address6(77)
    lab.server.configure(
        [f"addr add {other}/24 dev back" if way.version == 4 else f"addr add {other}/64 dev back nodad"]
    )
    rule = acl(f"[{way.server}] : {PORT}", f"session-type {kind}; timeout both 30;")
    configuration = Configuration(way.listen(PORT), rule, f"nodaemon; fast-path {fast_path};")
    proxy = serve(lab.proxy, tmp_path, configuration)
    with (
        way.server_socket(lab, PORT) as asked,
        lab.server.socket(way.family) as answering,
        way.client_socket(lab, PORT) as client,
    ):
        answering.settimeout(WAIT_S)
        answering.bind((other, 0))
        client.send(b"question")
        _, proxys = asked.recvfrom(100)
        answering.sendto(b"from elsewhere", proxys)
        if kind == "any-sock":
            # A connected socket of the client's: what comes, comes from where it wrote to.
            assert client.recv(100) == b"from elsewhere"
            client.send(b"more")
            assert answering.recvfrom(100) == (b"more", proxys)
            asked.sendto(b"too late", proxys)
        else:
            asked.sendto(b"from the server", proxys)
            assert client.recv(100) == b"from the server"
        line = proxy.wait_for(rf"SESSION-START CLIENT=\S+:{port_of(client)} ")
    assert f"TYPE={kind}" in line
    assert_balanced(totals := proxy.totals())
    assert (totals["opened"], totals["in_forwarded"]) == (1, 1)

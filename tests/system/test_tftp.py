"""TFTP, whose server answers from a port of its own: real client and server, files both ways, through any-port."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kit import peers
from tests.kit.installed import Proxy, assert_balanced, requires_installed, serve
from tests.kit.lab import Lab
from tests.kit.proxy import Configuration, acl
from tests.kit.requirement import requires_namespaces, requires_program
from tests.kit.way import WAY4, WAY6, WAYS, Way

TFTP = 69
FILE_BYTES = 2_000_000 + 77
LARGE_BYTES = 20_000_000
ANY_PORT = "session-type any-port; timeout session 600 both 30;"

pytestmark = requires_installed
each_path = pytest.mark.parametrize("fast_path", ["on", "off"])


def relay(lab: Lab, folder: Path, way: Way, server: Way, fast_path: str) -> Proxy:
    rule = acl(f"[{server.server}] : {TFTP}", ANY_PORT, name="TFTP")
    return serve(lab.proxy, folder, Configuration(way.listen(TFTP), rule, f"nodaemon; fast-path {fast_path};"))


def transfer(lab: Lab, folder: Path, host: str, what: str) -> None:
    """Get `there` as `here`, or put `here` as `there`."""
    names = ("there", folder / "here") if what == "get" else (folder / "here", "there")
    lab.client.run(["tftp", "-m", "binary", host, str(TFTP), "-c", what, *names], within_s=300.0)


@requires_namespaces
@requires_program("tftp", "in.tftpd")
@each_path
@pytest.mark.parametrize(("way", "server"), [(WAY4, WAY4), (WAY6, WAY6), (WAY6, WAY4)], ids=["4", "6", "6to4"])
@pytest.mark.parametrize("what", ["get", "put"])
def test_a_file_passes_whole_though_the_server_answers_from_another_port_k35_k36_k37(
    tmp_path: Path, lab: Lab, way: Way, server: Way, what: str, fast_path: str
) -> None:
    content = os.urandom(FILE_BYTES)
    store = tmp_path / "store"
    peers.tftpd(lab.server, store, server.server, TFTP)
    proxy = relay(lab, tmp_path, way, server, fast_path)
    sent, received = (store / "there", tmp_path / "here") if what == "get" else (tmp_path / "here", store / "there")
    sent.write_bytes(content)
    transfer(lab, tmp_path, way.front, what)
    assert received.read_bytes() == content
    assert_balanced(totals := proxy.totals())
    assert (totals["opened"], totals["out_dropped"], totals["in_dropped"]) == (1, 0, 0)


@requires_namespaces
@requires_program("tftp", "in.tftpd")
@pytest.mark.timeout(700)
def test_twenty_megabytes_pass_there_and_back(tmp_path: Path, lab: Lab) -> None:
    store = tmp_path / "store"
    peers.tftpd(lab.server, store, WAY4.server, TFTP)
    proxy = relay(lab, tmp_path, WAY4, WAY4, "on")
    content = os.urandom(LARGE_BYTES)
    (tmp_path / "here").write_bytes(content)
    transfer(lab, tmp_path, WAY4.front, "put")
    (tmp_path / "here").unlink()
    transfer(lab, tmp_path, WAY4.front, "get")
    assert (tmp_path / "here").read_bytes() == content
    assert_balanced(totals := proxy.totals())
    assert (totals["out_dropped"], totals["in_dropped"]) == (0, 0)
    assert min(totals["out_forwarded"], totals["in_forwarded"]) >= 2 * LARGE_BYTES // 512


@requires_namespaces
@each_path
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_after_the_first_answer_no_other_port_counts_k36_k38(
    tmp_path: Path, lab: Lab, way: Way, fast_path: str
) -> None:
    proxy = relay(lab, tmp_path, way, way, fast_path)
    with (
        way.server_socket(lab, TFTP) as listening,
        way.server_socket(lab, 0) as answering,
        way.server_socket(lab, 0) as other,
        way.client_socket(lab, TFTP) as client,
    ):
        client.send(b"request")
        _, proxys = listening.recvfrom(100)
        answering.sendto(b"first", proxys)
        assert client.recv(100) == b"first"
        for intruder in (other, listening):
            intruder.sendto(b"intruder", proxys)
        answering.sendto(b"second", proxys)
        assert client.recv(100) == b"second"
        client.send(b"more")
        assert answering.recvfrom(100) == (b"more", proxys)
    assert_balanced(totals := proxy.totals())
    assert (totals["out_forwarded"], totals["in_forwarded"], totals["opened"]) == (2, 2, 1)

"""Each real program once, without a proxy: what fails here is the kit's or the machine's fault, not the proxy's."""

from __future__ import annotations

from pathlib import Path

from tests.kit.peers import iperf3_server, nsd, rsyslogd, tftpd
from tests.kit.place import Place
from tests.kit.ports import free_port
from tests.kit.requirement import requires_program, requires_root

HOME = "127.0.0.1"


@requires_program("nsd", "dig")
def test_nsd_answers_from_the_zone_it_was_given(tmp_path: Path, here: Place) -> None:
    port = free_port()
    nsd(here, tmp_path, HOME, port, {"www": "A 192.0.2.7", "long": f'TXT "{"x" * 200}"'})
    answer = here.run(["dig", "+short", f"@{HOME}", "-p", str(port), "www.example"]).stdout
    assert answer.strip() == "192.0.2.7"


@requires_program("rsyslogd", "logger")
def test_rsyslogd_writes_what_logger_sent(tmp_path: Path, here: Place) -> None:
    port = free_port()
    peer = rsyslogd(here, tmp_path, HOME, port)
    here.run(["logger", "-n", HOME, "-P", str(port), "-d", "-t", "kit", "hello there"])
    assert peer.received.wait_for("hello there").startswith(f"{HOME} kit")


@requires_program("iperf3")
def test_iperf3_measures_a_load(here: Place) -> None:
    port = free_port()
    server = iperf3_server(here, HOME, port)
    client = ["iperf3", "-u", "-c", HOME, "-p", str(port), "-b", "1M", "-n", "20K", "--json"]
    assert '"lost_packets":\t0' in here.run(client).stdout
    assert server.wait() == 0


@requires_root
@requires_program("in.tftpd", "tftp")
def test_tftpd_takes_and_gives_files(tmp_path: Path, here: Place) -> None:
    port = free_port()
    tftpd(here, tmp_path / "store", HOME, port)
    (tmp_path / "mine").write_bytes(b"content")
    here.run(["tftp", "-m", "binary", HOME, str(port), "-c", "put", tmp_path / "mine", "there"])
    here.run(["tftp", "-m", "binary", HOME, str(port), "-c", "get", "there", tmp_path / "again"])
    assert (tmp_path / "again").read_bytes() == b"content"

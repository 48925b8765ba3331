"""Name service: dig asks nsd through the proxy, one question and one answer a session; dnsperf asks in bulk."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.kit import peers
from tests.kit.installed import assert_balanced, requires_installed, serve
from tests.kit.lab import Lab
from tests.kit.process import ProcessError
from tests.kit.proxy import Configuration, acl
from tests.kit.requirement import requires_namespaces, requires_program
from tests.kit.way import WAY4, WAY6, WAYS, Way, port_of

DNS = 53
ONE_EACH = "max-dgrams-out 1; max-dgrams-in 1; timeout session 60 both 60;"
QUERIES = 1500

pytestmark = requires_installed


def dns(way: Way, server: Way, items: str, fast_path: str = "on", workers: int = 2) -> Configuration:
    rule = acl(f"[{server.server}] : {DNS}", items, name="INTOK")
    return Configuration(way.listen(DNS), rule, f"nodaemon; fast-path {fast_path};", workers=workers)


@requires_namespaces
@requires_program("nsd", "dig")
@pytest.mark.parametrize("fast_path", ["on", "off"])
@pytest.mark.parametrize(("way", "server"), [(WAY4, WAY4), (WAY6, WAY6), (WAY6, WAY4)], ids=["4", "6", "6to4"])
def test_dig_gets_its_answer_and_the_session_ends_right_after_it(
    tmp_path: Path, lab: Lab, way: Way, server: Way, fast_path: str
) -> None:
    peers.nsd(lab.server, tmp_path, server.server, DNS, {"www": "A 192.0.2.7"})
    proxy = serve(lab.proxy, tmp_path, dns(way, server, ONE_EACH, fast_path))
    question = ["dig", f"@{way.front}", "-b", f"{way.client}#40001", "+noedns", "+tries=1", "+qr", "www.example", "A"]
    said = lab.client.run(question).stdout
    assert "192.0.2.7" in said
    question_bytes, answer_bytes = re.findall(r";; (?:QUERY SIZE|MSG SIZE  rcvd): (\d+)", said)
    # All timeouts are a minute: if it were not for the answer, this would wait in vain.
    reason, record = proxy.end_of(40001)
    assert reason == "dgrams-reached"
    assert record == {
        **{"PROTOCOL": "UDP", "CLIENT": way.client, "CLIENT-IP": way.client, "CLIENT-PORT": "40001"},
        **{"SERVER": server.server, "SERVER-IP": server.server, "SERVER-PORT": "53", "SERVER-PORT-NAME": "domain"},
        **{"USER": "<NULL>", "BYTES-COUT": question_bytes, "BYTES-SOUT": question_bytes},
        **{"BYTES-SIN": answer_bytes, "BYTES-CIN": answer_bytes, "DURATION": record["DURATION"]},
        **{"STATUS": "ACCEPTED", "RESULT": "OK", "RULE": "INTOK"},
    }
    assert_balanced(totals := proxy.totals())
    assert (totals["sessions"], totals["opened"], totals["in_forwarded"]) == (0, 1, 1)


@requires_namespaces
@pytest.mark.parametrize("fast_path", ["on", "off"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_second_question_before_the_answer_ends_the_session_and_is_not_passed(
    tmp_path: Path, lab: Lab, way: Way, fast_path: str
) -> None:
    proxy = serve(lab.proxy, tmp_path, dns(way, way, ONE_EACH, fast_path))
    with way.server_socket(lab, DNS) as server, way.client_socket(lab, DNS) as client:
        client.send(b"first")
        payload, first_source = server.recvfrom(100)
        assert payload == b"first"
        client.send(b"second one")
        reason, record = proxy.end_of(port_of(client))
        assert (reason, record["RESULT"], record["STATUS"]) == ("dgrams-out", "ABORTED", "ACCEPTED")
        assert (record["BYTES-COUT"], record["BYTES-SOUT"], record["BYTES-SIN"]) == ("15", "5", "0")
        # The answer comes too late for the session that is over, and the client's next question begins another.
        server.sendto(b"late", first_source)
        client.send(b"third")
        payload, third_source = server.recvfrom(100)
        assert payload == b"third"
        server.sendto(b"answer", third_source)
        assert client.recv(100) == b"answer"
        proxy.wait_for("Session terminated: dgrams-reached")
    assert_balanced(totals := proxy.totals())
    assert (totals["opened"], totals["out_received"], totals["out_dropped"]) == (2, 3, 1)


@requires_namespaces
@requires_program("nsd", "dnsperf")
@pytest.mark.parametrize("workers", [2, 4])
def test_dnsperf_loses_nothing_and_every_count_balances(tmp_path: Path, lab: Lab, workers: int) -> None:
    peers.nsd(lab.server, tmp_path, WAY4.server, DNS, {"www": "A 192.0.2.7"})
    proxy = serve(lab.proxy, tmp_path, dns(WAY4, WAY4, "timeout both 60;", workers=workers))
    questions = tmp_path / "questions"
    questions.write_text("www.example A\nabsent.example A\n" * (QUERIES // 2))
    bulk = ["dnsperf", "-s", WAY4.front, "-d", str(questions), "-n", "1", "-c", "20", "-q", "100", "-t", "20"]
    said = lab.client.run(bulk).stdout
    counts = dict(re.findall(r"(Queries (?:sent|completed|lost)): +(\d+)", said))
    assert counts == {"Queries sent": str(QUERIES), "Queries completed": str(QUERIES), "Queries lost": "0"}, said
    codes = dict(re.findall(r"(NOERROR|NXDOMAIN) (\d+)", said))
    assert codes == {"NOERROR": str(QUERIES // 2), "NXDOMAIN": str(QUERIES // 2)}, said
    assert_balanced(totals := proxy.totals())
    assert totals["out_received"] == totals["out_forwarded"] == QUERIES
    assert totals["in_received"] == totals["in_forwarded"] == QUERIES
    assert totals["opened"] == totals["sessions"] == 20
    state = proxy.state_when(lambda state: state.get("forwarded-in") == QUERIES)
    assert not [name for name in state if name.startswith(("dropped-", "queue-overflow", "log-shed"))], state
    assert proxy.log.stop() == 0
    records = [line for line in proxy.log.lines if "PROXY-EVENT" in line]
    assert len(records) == 20
    bytes_out = sum(int(number) for line in records for number in re.findall(r"BYTES-SOUT=(\d+)", line))
    assert bytes_out == state["bytes-out"]


@requires_namespaces
@requires_program("dig")
def test_dig_gets_no_answer_through_a_rule_without_plug_to(tmp_path: Path, lab: Lab) -> None:
    rule = "session-acl NOWHERE { accept; timeout both 9; }"
    proxy = serve(lab.proxy, tmp_path, Configuration(WAY4.listen(DNS), rule))
    question = ["dig", f"@{WAY4.front}", "-b", f"{WAY4.client}#40001", "+noedns", "+tries=1", "+time=1", "www.example"]
    with pytest.raises(ProcessError, match=r"no servers could be reached|communications error.*timed out"):
        lab.client.run(question)
    found = proxy.wait_for("UDPP-730-E")
    assert found.endswith("No plug-to for non-transparent session, CLIENT=[10.77.1.2]:40001 ACL=NOWHERE")
    record = proxy.wait_for("PROXY-EVENT")
    assert "BYTES-COUT=29 BYTES-SIN=0 BYTES-SOUT=0" in record
    assert record.endswith("STATUS=ACCEPTED RESULT=FAILED RULE=NOWHERE")
    assert proxy.state_when(lambda state: "dropped-out-no-plug-to" in state)["dropped-out-no-plug-to"] == 1

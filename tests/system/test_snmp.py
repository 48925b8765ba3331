"""SNMP: a manager asks an agent through the proxy, single values and a whole table in bulk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.installed import assert_balanced, requires_installed, serve
from tests.kit.lab import Lab
from tests.kit.proxy import Configuration, acl
from tests.kit.requirement import requires_namespaces, requires_program
from tests.kit.way import WAY4, WAY6, Way

SNMP = 161
NAME = "agent-behind-the-proxy"

pytestmark = requires_installed


def endpoint(address: str) -> str:
    """Return an address as the programs of net-snmp take it."""
    return f"udp6:[{address}]:{SNMP}" if ":" in address else f"udp:{address}:{SNMP}"


@requires_namespaces
@requires_program("snmpd", "snmpget", "snmpbulkwalk")
@pytest.mark.parametrize(("way", "fast_path"), [(WAY4, "on"), (WAY6, "off")], ids=["4-on", "6-off"])
def test_values_and_a_table_come_through_the_proxy(tmp_path: Path, lab: Lab, way: Way, fast_path: str) -> None:
    settings = tmp_path / "snmpd.conf"
    settings.write_text(f"rocommunity public\nrocommunity6 public\nsysName {NAME}\n")
    agent = lab.server.popen(
        ["snmpd", "-f", "-Lo", "-C", "-c", settings, endpoint(way.server)], {"SNMP_PERSISTENT_DIR": str(tmp_path)}
    )
    agent.wait_for("NET-SNMP version")
    rule = acl(f"[{way.server}] : {SNMP}", "timeout both 60;", name="SNMP")
    proxy = serve(lab.proxy, tmp_path, Configuration(way.listen(SNMP), rule, f"nodaemon; fast-path {fast_path};"))
    ask = ["-v2c", "-c", "public", "-On", "-t", "10", "-r", "0", endpoint(way.front)]
    assert NAME in lab.client.run(["snmpget", *ask, ".1.3.6.1.2.1.1.5.0"]).stdout
    walked = lab.client.run(["snmpbulkwalk", *ask, ".1.3.6.1.2.1.1"]).stdout.splitlines()
    assert any(NAME in line for line in walked)
    assert len(walked) > 7
    assert_balanced(totals := proxy.totals())
    assert totals["opened"] == 2
    assert totals["in_forwarded"] == totals["out_forwarded"] >= 3

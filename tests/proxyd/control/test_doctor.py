from __future__ import annotations

import pytest

from proxyd.control.doctor import Finding, examine
from proxyd.control.facts import Facts
from tests.proxyd.config.samples import ACTIONS
from tests.proxyd.control.scene import FIT, facts, settings
from workers.contract.settings import Settings

TRANSPARENT = settings("transparent [0.0.0.0] port 5300;", acls="session-acl T { accept; }")


def wrong(machine: Facts, configuration: Settings | None = None) -> list[Finding]:
    found = examine(machine, configuration or settings())
    assert all((finding.verdict == "ok") is (finding.remedy is None) for finding in found)
    return [finding for finding in found if finding.verdict != "ok"]


def test_a_fit_machine_is_told_to_be_fit_in_every_respect() -> None:
    found = examine(FIT, settings())
    assert {finding.verdict for finding in found} == {"ok"}
    assert [finding.subject for finding in found] == [
        *("capabilities", "addresses", "descriptors", "source ports", "receive buffers", "memory"),
    ]
    assert {finding.subject for finding in examine(facts(conntrack=10_000), TRANSPARENT)} >= {
        *("reverse path", "routing", "connection tracking"),
    }


@pytest.mark.parametrize(
    ("machine", "configuration", "subject", "remedy"),
    [
        (
            facts(files=500, files_raised=900, capabilities=frozenset()),
            None,
            "descriptors",
            "sysctl -w fs.nr_open=1458",
        ),
        (
            facts(files=500, capabilities=frozenset({12})),
            None,
            "descriptors",
            "ulimit -n 1458 before it starts, or LimitNOFILE=1458",
        ),
        (facts(files_machine=1000), None, "descriptors", "sysctl -w fs.file-max=2916"),
        (facts(ports=999), None, "source ports", 'sysctl -w net.ipv4.ip_local_port_range="1024 65535"'),
        (
            facts(receive_bytes=212_992, capabilities=frozenset()),
            None,
            "receive buffers",
            "sysctl -w net.core.rmem_max=4194304",
        ),
        (facts(memory_bytes=5_000_000), None, "memory", "max-sessions 909; in the section udpserver"),
        (facts(conntrack=1999), None, "connection tracking", "sysctl -w net.netfilter.nf_conntrack_max=2000"),
        (facts(strict=("eth0",)), TRANSPARENT, "reverse path", "sysctl -w net.ipv4.conf.eth0.rp_filter=2"),
        (
            facts(missing_routes=("no rule; wanted: 'ip -4 rule add x' and 'ip -4 route add y'; see z",)),
            TRANSPARENT,
            "routing",
            "ip -4 rule add x && ip -4 route add y",
        ),
        (
            facts(shortcuts=("socket transparent 1 accept",)),
            TRANSPARENT,
            "routing",
            "take the rule out; nft -a list ruleset shows its handle",
        ),
        (facts(missing_routes=("odd",)), TRANSPARENT, "routing", "see udp-proxy-transparent(7)"),
    ],
)
def test_what_is_missing_is_a_warning_with_the_command_that_mends_it(
    machine: Facts, configuration: Settings | None, subject: str, remedy: str
) -> None:
    (finding,) = wrong(machine, configuration)
    assert (finding.verdict, finding.subject, finding.remedy) == ("warning", subject, remedy)


def test_who_may_raise_the_limit_of_descriptors_needs_no_larger_one() -> None:
    assert wrong(facts(files=500)) == []


def test_without_a_capability_that_is_needed_it_would_not_start() -> None:
    low = settings("non-transparent [127.0.0.1] port 53;")
    found = wrong(facts(capabilities=frozenset(), files=9999, receive_bytes=1 << 30), low)
    assert [(finding.verdict, finding.subject) for finding in found] == [("error", "capabilities")]
    assert "CAP_NET_BIND_SERVICE is needed for port 53" in found[0].text


def test_an_address_of_nobody_here_cannot_be_bound() -> None:
    (finding,) = wrong(FIT, settings("non-transparent [192.0.2.99] port 5300; non-transparent [0.0.0.0] port 5301;"))
    assert (finding.verdict, finding.subject) == ("error", "addresses")
    assert finding.remedy == "ip address add 192.0.2.99 dev INTERFACE"


def test_reverse_paths_matter_only_where_addresses_are_others() -> None:
    assert wrong(facts(strict=("eth0",))) == []
    pretends = settings(acls=f"session-acl P {{ source-address client; {ACTIONS} }}")
    assert [finding.subject for finding in wrong(facts(strict=("eth0",)), pretends)] == ["reverse path"]

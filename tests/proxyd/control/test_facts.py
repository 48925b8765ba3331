from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxyd.control.facts import Facts, find_shortcuts, read_facts, reserved_within
from tests.proxyd.control.scene import settings

FILES = {
    "77/limits": "Limit Soft Limit Hard Limit Units\nMax open files       1024         4096        files\n",
    "sys/fs/nr_open": "1048576\n",
    "sys/fs/file-max": "9223372036854775807\n",
    "sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
    "sys/net/ipv4/ip_local_reserved_ports": "8080,40000-40009\n",
    "sys/net/core/rmem_max": "212992\n",
    "meminfo": "MemTotal:       2000 kB\nMemAvailable:   1000 kB\n",
    "sys/net/ipv4/conf/all/rp_filter": "0\n",
    "sys/net/ipv4/conf/default/rp_filter": "1\n",
    "sys/net/ipv4/conf/lo/rp_filter": "1\n",
    "sys/net/ipv4/conf/eth0/rp_filter": "1\n",
    "sys/net/ipv4/conf/eth1/rp_filter": "2\n",
    "sys/net/ipv4/conf/eth2/rp_filter": "0\n",
}


def read(folder: Path, **others: str) -> Facts:
    for name, text in {**FILES, **{key.replace("__", "/"): text for key, text in others.items()}}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_facts(settings(), 77, frozenset({1}), folder)


def test_the_machine_is_read(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert (found.files, found.files_raised, found.files_machine) == (4096, 1_048_576, 2**63 - 1)
    assert (found.port_first, found.port_last, found.ports) == (32768, 60999, 28_222)
    assert (found.receive_bytes, found.memory_bytes) == (212_992, 1_024_000)
    assert found.strict == ("eth0",)
    assert found.conntrack is None
    assert "127.0.0.1" in found.addresses
    assert (found.capabilities, found.missing_routes) == (frozenset({1}), ())


def test_a_filter_for_all_counts_where_it_is_the_larger(tmp_path: Path) -> None:
    assert read(tmp_path, sys__net__ipv4__conf__all__rp_filter="1").strict == ("eth0", "eth2")


@pytest.mark.parametrize(("count", "limit"), [("0", None), ("5", 1000)])
def test_connection_tracking_matters_where_it_has_something_to_do(
    tmp_path: Path, count: str, limit: int | None
) -> None:
    folder = "sys__net__netfilter__nf_conntrack"
    assert read(tmp_path, **{f"{folder}_max": "1000", f"{folder}_count": count}).conntrack == limit


def test_no_limit_is_more_than_any_machine_has(tmp_path: Path) -> None:
    limits = "Max open files            unlimited            unlimited            files\n"
    assert read(tmp_path, **{"77__limits": limits}).files > 10**12


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), ("\n", 0), ("5", 0), ("10", 1), ("10-12,15", 4), ("1-11", 2), ("19-30", 2)]
)
def test_reserved_ports_are_counted_where_they_are_in_the_range(text: str, count: int) -> None:
    assert reserved_within(text, 10, 20) == count


def test_rules_that_would_steal_datagrams_are_found_in_what_nft_lists() -> None:
    listing = "table inet x {\n  chain y {\n    meta l4proto udp socket transparent 1 accept\n    accept\n  }\n}\n"
    assert find_shortcuts(("printf", listing)) == ("meta l4proto udp socket transparent 1 accept",)
    for command in (("true",), ("false",), ("/no/such/nft",)):
        assert find_shortcuts(command) == ()


def test_this_very_machine_can_be_read() -> None:
    found = read_facts(settings(), None, frozenset())
    assert found.ports > 0
    assert found.memory_bytes > 0
    assert read_facts(settings(), os.getpid(), frozenset()).files == found.files

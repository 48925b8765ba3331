from __future__ import annotations

from pathlib import Path

from workers.contract.settings import Address, ResolverSettings
from workers.resolver.system import ResolvConf, parse_hosts, parse_resolv_conf, prepare

LOOPBACK, LOOPBACK6 = Address(4, 0x7F000001), Address(6, 1)


def test_a_resolv_conf_gives_servers_search_list_and_ndots():
    text = "# here\nnameserver 127.0.0.1\nnameserver ::1\nsearch a.test b.test\noptions rotate ndots:3 edns0\n"
    assert parse_resolv_conf(text) == ResolvConf((LOOPBACK, LOOPBACK6), ("a.test", "b.test"), 3)


def test_the_last_search_list_or_domain_counts():
    assert parse_resolv_conf("domain c.test d.test\nsearch a.test b.test\n").search == ("a.test", "b.test")
    assert parse_resolv_conf("search a.test b.test\ndomain c.test d.test\n").search == ("c.test",)


def test_what_is_not_understood_in_a_resolv_conf_is_passed_over():
    lines = ("", ";x", "nameserver", "nameserver here", "nameserver fe80::1%eth0", "search", "sortlist 1.2.3.4")
    text = "\n".join((*lines, "options", "options ndots:x"))
    assert parse_resolv_conf(text) == ResolvConf()


def test_ndots_has_a_bound():
    assert parse_resolv_conf("options ndots:99999999999999999999\n").ndots == 15


def test_a_hosts_file_gives_addresses_by_any_of_its_names():
    text = "127.0.0.1\tlocalhost Here.example.test. # comment\n::1 localhost\n\n# x\nbroken line\n"
    text += "fe80::1%lo zone\n1.2.3.4\n"
    assert parse_hosts(text) == {
        "localhost": frozenset({LOOPBACK, LOOPBACK6}),
        "here.example.test": frozenset({LOOPBACK}),
    }


def test_a_mapped_address_in_a_hosts_file_counts_as_ipv4():
    assert parse_hosts("::ffff:127.0.0.1 a\n") == {"a": frozenset({LOOPBACK})}


def test_the_settings_stand_above_the_system(tmp_path: Path):
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver ::1\nsearch system.test\n")
    ours = prepare(ResolverSettings(((LOOPBACK, 5353),), ("ours.test",), conf_timeout_ns=7), conf, tmp_path / "none")
    assert (ours.servers, ours.search, ours.timeout_ns) == (((LOOPBACK, 5353),), ("ours.test",), 7)
    systems = prepare(ResolverSettings(), conf, tmp_path / "none")
    assert (systems.servers, systems.search, systems.ndots) == (((LOOPBACK6, 53),), ("system.test",), 1)


def test_without_any_name_server_this_machine_is_asked(tmp_path: Path):
    assert prepare(ResolverSettings(), tmp_path / "none", tmp_path / "none").servers == ((LOOPBACK, 53),)


def test_the_hosts_file_is_read(tmp_path: Path):
    hosts = tmp_path / "hosts"
    hosts.write_bytes(b"127.0.0.1 a\n\xff\xfe 1\n::1 b\n")
    assert prepare(ResolverSettings(), tmp_path / "none", hosts).hosts == {
        "a": frozenset({LOOPBACK}),
        "b": frozenset({LOOPBACK6}),
    }

from __future__ import annotations

import os

from proxyd.config.compiler import MAX_WORKERS, usable_processors
from tests.proxyd.config.samples import acl, config, load
from workers.contract.settings import Address, LogSettings, ResolverSettings


def test_a_short_configuration_has_the_documented_defaults() -> None:
    settings = load(config()).settings
    assert (settings.name, settings.generation, settings.max_sessions) == ("DNS", 1, 10)
    assert (settings.single_process, settings.foreground, settings.fast_path) == (False, False, True)
    assert (settings.debug_log, settings.stats_log) == (LogSettings(), LogSettings())
    assert (settings.resolver, settings.resolve_names) == (ResolverSettings(), True)
    assert (settings.respawn_count, settings.respawn_ns) == (30, 60_000_000_000)
    assert (settings.auth, settings.monitor, settings.queues, settings.source_address) == (None, None, (), None)
    assert (settings.app_user, settings.app_group, settings.chroot_dir) == (None, None, None)


def test_there_are_as_many_workers_as_usable_processors_unless_written() -> None:
    assert load(config()).settings.workers == usable_processors()
    assert usable_processors() == min(len(os.sched_getaffinity(0)), MAX_WORKERS)


def test_keys_turn_things_on() -> None:
    settings = load(config(proxy="nodaemon; singleproc; fast-path off; app-user root group root;")).settings
    assert (settings.single_process, settings.foreground, settings.fast_path) == (True, True, False)
    assert (settings.app_user, settings.app_group) == ("root", "root")


def test_the_monitor_serves_on_a_port_or_on_a_unix_socket() -> None:
    wanted = load(config(proxy="monitoring { http [::1] port 9; }")).settings.monitor
    assert wanted is not None
    assert (wanted.listen, wanted.path) == ((Address(6, 1), 9), None)
    wanted = load(config(proxy='monitoring { http socket "/run/dns.http"; }')).settings.monitor
    assert wanted is not None
    assert (wanted.listen, wanted.path) == (None, "/run/dns.http")
    assert load(config(proxy="monitoring { http [::1] port 9; disabled; }")).settings.monitor is None


def test_a_proxy_without_a_name_is_called_udp_proxy() -> None:
    assert load(config().replace("udp-proxy DNS", "udp-proxy")).settings.name == "udp-proxy"


def test_rules_keep_the_order_of_the_file() -> None:
    rules = "".join(f"session-acl {name} {{ deny; }}" for name in "CAB")
    assert [rule.name for rule in load(config(acls=rules)).settings.acls] == ["C", "A", "B"]


def test_all_names_that_need_addresses_are_listed_once() -> None:
    body = "from { ! B.example, { a.example } }; to b.example; accept; plug-to c.example; timeout in 1;"
    assert load(acl(body)).names == ("a.example", "b.example", "c.example")


def test_warnings_stand_in_the_order_of_the_file() -> None:
    compiled = load(acl("from { *, ! [::1] };\n deny;\n timeout in 1;"))
    assert [entry.position.line for entry in compiled.warnings] == [1, 3]

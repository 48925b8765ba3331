from __future__ import annotations

import pytest

from proxyd.config.prototype import Scope
from proxyd.config.rows import proxy
from tests.proxyd.config.samples import config, errors, load, warnings
from workers.contract.settings import Address, ControlSettings, SourceAddress, SourceFallback, SyslogFailure


@pytest.mark.parametrize(
    ("text", "level"), [("error", 3), ("WARNING", 4), ("5", 5), ("normal", 6), ("debug", 7), ("8", 8), ("full", 9)]
)
def test_levels_are_words_or_numbers(text: str, level: int) -> None:
    assert load(config(proxy=f"log-debug {{ level {text}; }}")).settings.debug_log.level == level


@pytest.mark.parametrize("text", ["2", "10", "loud"])
def test_other_levels_are_refused(text: str) -> None:
    assert len(errors(config(proxy=f"log-debug {{ level {text}; }}"))) == 1


def test_a_log_section_is_compiled() -> None:
    text = 'log-stats { file "/var/log/s"; rotate size 10M count 5; format json; syslog-failure stop; data-limit 1K; }'
    log = load(config(proxy=text)).settings.stats_log
    assert (log.file, log.rotate_bytes, log.rotate_count, log.json) == ("/var/log/s", 10 * 1024**2, 5, True)
    assert (log.syslog_failure, log.data_limit_bytes, log.level) == (SyslogFailure.STOP, 1024, 6)


def test_facilities_have_their_numbers() -> None:
    assert load(config(proxy="log-debug { facility local4; }")).settings.debug_log.facility == 20
    assert load(config(proxy="log-debug { facility 3; }")).settings.debug_log.facility == 3
    assert load(config()).settings.debug_log.facility is None


@pytest.mark.parametrize(
    "text",
    [
        "stats-daily { anything goes; even { this; } }",
        "doctype-identification { order for upload magic; mime-types { a, b }; }",
        "run-block-sigalrm 30;",
        "phase 3; tag a.b; tag c;",
        'log-debug { mem-level full; mem-file "/x"; dump-hold-time what ever; }',
        'monitoring { disabled; comm-dir "/run"; interval 9; user 3; aproxy-user 4; data 100 tail 20; }',
    ],
)
def test_what_has_no_meaning_here_is_taken_as_it_comes(text: str) -> None:
    assert load(config(proxy=text)).settings == load(config()).settings


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("", SourceAddress()),
        ("client", SourceAddress(client=True)),
        ("default", SourceAddress()),
        ("addr4 [192.0.2.1] physical", SourceAddress(addr4=0xC0000201, fallback=SourceFallback.PHYSICAL)),
        ("addr6 [::1] addr4 [192.0.2.1]", SourceAddress(addr4=0xC0000201, addr6=1)),
        ("client cluster", SourceAddress(client=True, fallback=SourceFallback.CLUSTER)),
        ("cluster west", SourceAddress(fallback=SourceFallback.CLUSTER)),
        ("client no-fallback", SourceAddress(client=True, fallback=SourceFallback.NO_FALLBACK)),
    ],
)
def test_source_addresses_have_a_fallback(text: str, source: SourceAddress) -> None:
    assert load(config(proxy=f"source-address {text};")).settings.source_address == source


@pytest.mark.parametrize("text", ["physical cluster", "addr4 [::1]", "addr4", "physical west"])
def test_other_source_addresses_are_refused(text: str) -> None:
    assert errors(config(proxy=f"source-address {text};"))


def test_only_out_of_band_users_are_taken() -> None:
    assert errors(config(proxy="auth passwd;")) == ["udp-proxy DNS: found 'passwd'; wanted 'none' or 'oob'"]
    assert errors(config(proxy="auth none;")) == []


def test_out_of_band_users_are_compiled_with_their_section() -> None:
    text = config(
        file='oob-auth O { method external; file "/var/db/o"; max-groups 3; }',
        proxy="auth oob O mandatory; user-match short;",
    )
    auth = load(text).settings.auth
    assert auth is not None
    assert (auth.name, auth.file, auth.obligation.value, auth.short_names) == ("O", "/var/db/o", "mandatory", True)
    assert (auth.max_sessions, auth.max_user_chars, auth.max_groups) == (1000, 64, 3)


def test_monitoring_may_listen() -> None:
    compiled = load(config(proxy="monitoring { http [127.0.0.1] port 8080; }"))
    assert compiled.settings.monitor is not None
    assert compiled.settings.monitor.listen == (Address(4, 0x7F000001), 8080)


def test_the_server_section_is_compiled() -> None:
    settings = load(config(server="max-sessions 100000; workers 3; respawn-limit 5 10;")).settings
    assert (settings.max_sessions, settings.workers) == (100_000, 3)
    assert (settings.respawn_count, settings.respawn_ns) == (5, 10_000_000_000)


def test_the_control_section_says_where_and_for_whom_orders_are_taken() -> None:
    assert load(config()).settings.control == ControlSettings(None, None)
    written = load(config(proxy='control { socket "/run/x.ctl"; group root; }')).settings.control
    assert written == ControlSettings("/run/x.ctl", "root")
    assert load(config(proxy="control { disabled; }")).settings.control is None


def test_a_socket_has_an_absolute_path_and_a_group_that_is_not_there_is_warned_of() -> None:
    assert len(errors(config(proxy='control { socket "x.ctl"; }'))) == 1
    assert "there is no group 'no-such-group'" in warnings(config(proxy="control { group no-such-group; }"))[0]


@pytest.mark.parametrize("text", ["", "max-sessions 0;", "max-sessions 4294967296;", "max-sessions 5; workers 256;"])
def test_other_server_sections_are_refused(text: str) -> None:
    assert len(errors(config(server=text))) == 1


def test_every_row_stands_in_a_section_of_its_own() -> None:
    assert {row.body for row in proxy.PROXY if row.is_section and not row.opaque} == {
        *(Scope.LOG, Scope.MONITORING, Scope.CONTROL, Scope.LISTEN, Scope.SERVER, Scope.ACL),
    }

from __future__ import annotations

from pathlib import Path

import pytest

from proxyd.config.dump import Style, hash_of, show_acls, show_file, show_proxy
from proxyd.config.load import load as load_file
from tests.proxyd.config.samples import ACTIONS, acl, config, load

EXAMPLES = sorted((Path(__file__).parents[3] / "etc" / "examples").glob("*.cfg"))

EVERYTHING = config(
    file=(
        'resolver R { server [192.0.2.1]; search { a, "b c" }; conf-timeout 0.5; }'
        ' oob-auth O { method external; file "/o"; max-user 9; }'
        ' interface I { dev "eth0"; ipv4 [192.0.2.1/24]; alias A { ipv6 [2001:db8::1]; } }'
        " queue q { mark 0x10; rate 1M burst 2K; }"
    ),
    proxy=(
        "tag a; use-resolver R; monitoring { data 100; http [::1] port 80; } auth oob O; nodaemon;"
        ' app-user root group "root";'
        ' log-debug { level 5; file "/x \\"y"; rotate size 1M count 3; } stats-weekly { what ever; }'
    ),
    listen=(
        "transparent [0.0.0.0] port 1 to 3; non-transparent [127.0.0.1] : 5 6; non-transparent iface I 7 8;"
        " transparent iface I proto ipv6 alias A 9;"
    ),
    acls=(
        "session-acl A { from { ! { [10.0.0.0/255.0.255.0], /a\\/b/ }, host, * }; to [::1]-[::9] port { 1-5, domain };"
        " user { a, b } group c; time { mon-fri, ! tue } { 0800-2400 }; time day 1 month *; ip-tos-from { ! 3, * };"
        f" {ACTIONS} max-bytes-in 33K; queue-to-client q; ip-tos-to-server {{ set 3; }}"
        " source-address client physical; }"
        " session-acl B { time-period-set { exclude; time-spec T { hours 2200 0600; dates 1 jan 2 feb; } } deny; }"
    ),
)


@pytest.mark.parametrize("style", [Style(), Style(defaults=True), Style(defaults=True, notes=True)])
def test_what_is_written_compiles_to_the_same_settings(style: Style) -> None:
    compiled = load(EVERYTHING)
    again = load(show_file(compiled.tree, style))
    assert again.settings == compiled.settings
    assert hash_of(again.tree) == hash_of(compiled.tree)


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_the_examples_survive_being_written(path: Path) -> None:
    compiled = load_file(path)
    assert load(show_file(compiled.tree, Style(defaults=True))).settings == compiled.settings


def test_writing_twice_changes_nothing() -> None:
    once = show_file(load(EVERYTHING).tree, Style(defaults=True))
    assert show_file(load(once).tree, Style(defaults=True)) == once


def test_older_forms_are_written_in_the_form_of_today() -> None:
    text = show_file(load(EVERYTHING).tree, Style())
    assert "non-transparent [127.0.0.1] port 5 to 6;" in text
    assert "non-transparent iface I port 7 to 8;" in text
    assert 'transparent iface I alias { "A" } version ipv6 port 9;' in text


def test_rules_are_written_in_search_order_without_defaults() -> None:
    text = config(acls="session-acl Z { from *; deny; } session-acl A { accept; plug-to [::1]:53; timeout in 1; }")
    assert show_acls(load(text).proxy) == (
        "session-acl Z {\n  from { * };\n  deny;\n}\n"
        "session-acl A {\n  accept;\n  plug-to [::1] : 53;\n  timeout in 1;\n}\n"
    )


def test_the_proxy_is_written_without_rules() -> None:
    proxy = load(config(proxy="nodaemon;")).proxy
    assert show_proxy(proxy, defaults=False) == (
        "udp-proxy DNS {\n  nodaemon;\n  listen-on {\n    non-transparent [127.0.0.1] port 5300;\n  }\n"
        "  udpserver {\n    max-sessions 10;\n  }\n}\n"
    )


def test_defaults_are_written_when_asked_for() -> None:
    text = show_proxy(load(config()).proxy, defaults=True)
    assert "  phase 20;\n" in text
    assert "  log-stats {\n    level normal;\n" in text
    assert "    respawn-limit 30 60;\n" in text
    assert "    # workers: as many as there are usable processors\n" in text
    assert "session-acl" not in text


def test_the_hash_counts_meaning_and_not_spelling() -> None:
    one = acl("from [10.0.0.0/8]; accept; plug-to NS.example. : domain; max-bytes-in 1024; timeout both 120;")
    other = acl("# comment\nACCEPT; max-bytes-in 1K; plug-to ns.example:53; from { [10.9.9.9/255.0.0.0] };")
    third = acl("# comment\nACCEPT; max-bytes-in 2K; plug-to ns.example:53; from { [10.9.9.9/255.0.0.0] };")
    assert hash_of(load(one).tree) == hash_of(load(other).tree)
    assert hash_of(load(one).tree) != hash_of(load(third).tree)


@pytest.mark.parametrize(
    ("older", "today"),
    [
        ("non-transparent [127.0.0.1] : 5 6;", "non-transparent [127.0.0.1] port 5 to 6;"),
        ("transparent address [::1]:5;", "transparent address [::1] port 5;"),
        ("non-transparent iface I 7;", "non-transparent iface I port 7;"),
        ("non-transparent iface I proto ipv4 7;", "non-transparent iface I version ipv4 port 7;"),
    ],
)
def test_older_forms_have_the_hash_of_the_form_of_today(older: str, today: str) -> None:
    trees = [load(config(file="interface I { ipv4 [192.0.2.1]; }", listen=text)).tree for text in (older, today)]
    assert hash_of(trees[0]) == hash_of(trees[1])


def test_the_hash_counts_what_is_ignored_for_nothing() -> None:
    assert hash_of(load(config(proxy="stats-daily { x; }")).tree) == hash_of(load(config()).tree)

from __future__ import annotations

from pathlib import Path

import pytest

from proxyd.config.filechecks import MAX_ACCOUNT_CHARS, has_users
from tests.proxyd.config.samples import config, errors, load, warnings

VERSION = "version KERNUN-2_3-RELEASE;"
PROXY = config().removeprefix(VERSION).strip().replace("DNS", "X")


def test_a_file_needs_a_proxy() -> None:
    assert errors(VERSION) == [": found no section 'udp-proxy'; wanted udp-proxy name { ... }"]


def test_two_proxies_in_a_file_are_named_both() -> None:
    (found,) = errors(f"{VERSION} {PROXY} {PROXY.replace('X', 'Y', 1)}")
    assert "found 'udp-proxy Y' beside 'udp-proxy X' on line 1; wanted exactly one" in found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PROXY, "found no 'version'"),
        (f"version OTHER-1; {PROXY}", "the version tag 'OTHER-1' is not known"),
        (f"{PROXY} {VERSION}", "found 'version' after other things"),
        (f"{VERSION} interface I {{ }} {PROXY}", "the interface has no address"),
        (config(file="queue q { rate 1M burst 1499; }"), "found a burst of 1499 bytes; a larger datagram never passes"),
        (config(proxy="singleproc; monitoring { http [::1] port 5; }"), "found 'http' with 'singleproc'"),
        (config(acls=""), "found no 'session-acl'; every session will be rejected"),
        (config(proxy="app-user no-such-user-here;"), "there is no user 'no-such-user-here' on this machine"),
        (config(proxy="app-user root group no-such-group;"), "there is no group 'no-such-group' on this machine"),
    ],
)
def test_what_may_not_be_meant_is_warned_of(text: str, message: str) -> None:
    found = warnings(text)
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.parametrize(
    "parts",
    [
        {"file": "queue q { rate 1M burst 1500; }"},
        {"file": "queue q { rate 8; }"},
        {"file": "queue q { mark 1; }"},
        {"proxy": "monitoring { http [::1] port 5; }"},
        {"proxy": "singleproc; monitoring { http [::1] port 5; disabled; }"},
        {"proxy": "singleproc; monitoring { interval 5; }"},
    ],
)
def test_what_is_meant_is_not_warned_of(parts: dict[str, str]) -> None:
    assert warnings(config(**parts)) == []


@pytest.mark.parametrize("account", ["root", "0", "root group 0", "0 group root"])
def test_accounts_are_known_by_name_and_by_number(account: str) -> None:
    assert warnings(config(proxy=f"app-user {account};")) == []


def test_a_number_that_nobody_has_is_warned_of() -> None:
    (found,) = warnings(config(proxy="app-user 4000000001;"))
    assert "there is no user '4000000001' on this machine" in found


def test_any_kernun_version_is_taken() -> None:
    assert warnings(f"version kernun-9; {PROXY}") == []


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"proxy": "use-resolver R;"}, "found 'R'; wanted the name of a section 'resolver'"),
        ({"proxy": "use-resolver NSS;", "file": "resolver NS { }"}, "(did you mean 'NS'?)"),
        ({"proxy": "auth oob O;"}, "found 'O'; wanted the name of a section 'oob-auth'"),
        ({"file": "resolver R { server ns.example.com; }"}, "found the host name 'ns.example.com'"),
        ({"proxy": 'log-debug { file "/x"; facility local4; }'}, "found both 'facility' and 'file'"),
        ({"proxy": "log-debug { rotate size 1K count 2; }"}, "found 'rotate' without 'file'"),
        ({"proxy": "monitoring { data 63; }"}, "found 63 characters of data; wanted more than 63"),
        ({"proxy": "chroot-dir /"}, "found a regular expression that does not end on its line"),
        ({"proxy": 'chroot-dir "/no/such/directory";'}, "found '/no/such/directory'; wanted an existing directory"),
        ({"proxy": f'chroot-dir "/{"x" * 5000}";'}, "wanted an existing directory"),
    ],
)
def test_what_does_not_agree_is_refused(parts: dict[str, str], message: str) -> None:
    found = errors(config(**parts))
    assert len(found) == 1
    assert message in found[0]


def test_monitoring_data_may_be_just_long_enough() -> None:
    assert errors(config(proxy="monitoring { data 64; }")) == []
    assert errors(config(proxy="monitoring { data 10 tail 6; }")) == []


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    assert load(config(proxy=f'chroot-dir "{tmp_path}";')).settings.chroot_dir == str(tmp_path)
    file = tmp_path / "file"
    file.touch()
    assert len(errors(config(proxy=f'chroot-dir "{file}";'))) == 1


def test_users_are_known_only_out_of_band() -> None:
    assert not has_users(load(config()).proxy)
    with_users = config(file='oob-auth O { method external; file "/o"; }', proxy="auth oob O;")
    assert has_users(load(with_users).proxy)


@pytest.mark.parametrize("accounts", ["app-user {name};", "app-user root group {name};", "control {{ group {name}; }}"])
def test_names_of_accounts_are_bounded(accounts: str) -> None:
    longest = accounts.format(name="x" * MAX_ACCOUNT_CHARS)
    assert len(warnings(config(proxy=longest))) == 1
    (found,) = errors(config(proxy=longest.replace("x", "xx", 1)))
    assert f"found a name of {MAX_ACCOUNT_CHARS + 1} characters; wanted at most {MAX_ACCOUNT_CHARS}" in found

"""The command line: every option, its bounds and its default, as uftpproxyd 4.10.2 has them, and the long ones."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from proxyd.uftp.options import OPTIONS, CommandLine, OptionError, help_text, parse_monitor, parse_options, parse_uid
from workers.contract.settings import Address


def test_values_may_be_attached_or_separate_and_operands_are_ignored() -> None:
    assert parse_options(["-cp1045", "nonsense", "-t", "9"]) == CommandLine(client=True, port=1045, ttl=9)


def test_a_response_proxys_curve_may_follow_its_mode() -> None:
    line = parse_options(["-d", "-r:secp384r1", "-x", "3"])
    assert (line.response, line.curve, line.level) == (True, "secp384r1", 3)
    with pytest.raises(OptionError, match="-e"):
        parse_options(["-r:"])


def test_defaults_are_those_of_the_manual_page() -> None:
    line = parse_options(["-c"])
    assert (line.port, line.ttl, line.heartbeat_s, line.level, line.buffer_bytes) == (1044, 1, 20, 2, 1048576)
    assert (line.log_file, line.roll_mb, line.roll_count, line.pidfile) == ("/tmp/uftpproxyd.log", None, 5, None)
    assert (line.max_groups, line.max_clients, line.workers) == (10_000, 10_000, None)


@pytest.mark.parametrize(
    "modes", [[], ["-c", "-r"], ["-s", "host", "-c"], ["-s", "a", "-r"], ["-c", "-c"], ["-s", "a", "-s", "b"]]
)
def test_anything_but_one_mode_is_refused(modes: list[str]) -> None:
    with pytest.raises(OptionError, match="-s, -c and -r"):
        parse_options(modes)


@pytest.mark.parametrize(
    ("option", "good", "bad"),
    [
        ("p", ["1", "65535"], ["0", "65536", "x", "10x", ""]),
        ("q", ["1", "65535"], ["0", "65536"]),
        ("t", ["1", "255"], ["0", "256"]),
        ("Q", ["0", "63", "0x2e", "0o56"], ["64", "-1", "z"]),
        ("N", ["-20", "19"], ["-21", "20"]),
        ("h", ["1", "3600"], ["0", "3601"]),
        ("x", ["0", "5"], ["-1", "much"]),
        ("g", ["1", "1024"], ["0", "1025"]),
        ("n", ["1", "1000"], ["0", "1001"]),
        ("B", ["65536", "104857600"], ["65535", "104857601"]),
        ("workers", ["1", "256"], ["0", "257"]),
        ("max-groups", ["1", "100000"], ["0", "100001"]),
        ("max-clients", ["1", "100000"], ["0", "100001"]),
        ("min-rsa-bits", ["0", "4096"], ["-1", "4097"]),
    ],
)
def test_numbers_keep_to_their_bounds(option: str, good: list[str], bad: list[str]) -> None:
    row = next(row for row in OPTIONS if row.name == option)
    for text in good:
        assert getattr(parse_options(["-c", row.flag, text]), row.field) == int(text, 0)
    for text in bad:
        with pytest.raises(OptionError, match=row.flag):
            parse_options(["-c", row.flag, text])


def test_a_list_goes_on_where_it_is_given_again() -> None:
    line = parse_options(["-r", "-I", "eth0", "-M", "230.4.4.1,230.4.4.2", "-I", "eth1,eth2", "-M", "230.4.4.3"])
    assert line.interfaces == ("eth0", "eth1", "eth2")
    assert line.groups == ("230.4.4.1", "230.4.4.2", "230.4.4.3")


def test_a_level_above_five_is_five() -> None:
    assert parse_options(["-c", "-x", "9"]).level == 5


@pytest.mark.parametrize(
    ("text", "uid"), [("0x0000C0C0", 0xC0C0), ("c0c0", 0xC0C0), (" 0X1", 1), ("fffffffe", 2**32 - 2)]
)
def test_a_uid_is_hexadecimal_with_or_without_its_prefix(text: str, uid: int) -> None:
    assert parse_uid(text) == uid
    assert parse_options(["-c", "-U", text]).uid == uid


@pytest.mark.parametrize("text", ["ffffffff", "100000000", "host", "", "1_0"])
def test_what_is_no_uid_is_refused(text: str) -> None:
    with pytest.raises(OptionError):
        parse_options(["-c", "-U", text])


@pytest.mark.parametrize(
    ("text", "listen", "path"),
    [
        ("127.0.0.1:9100", (Address(4, 0x7F00_0001), 9100), None),
        ("[::1]:9", (Address(6, 1), 9), None),
        ("::1:9", (Address(6, 1), 9), None),
        ("/run/uftp.http", None, "/run/uftp.http"),
    ],
)
def test_the_monitor_is_on_an_address_or_a_unix_socket(
    text: str, listen: tuple[Address, int] | None, path: str | None
) -> None:
    wanted = parse_monitor(text)
    assert (wanted.listen, wanted.path) == (listen, path)
    assert parse_options(["-c", "--monitor", text]).monitor == text


@pytest.mark.parametrize(
    "text", ["", "9100", "host:9100", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "run/x", ":9"]
)
def test_what_is_no_place_for_a_monitor_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="--monitor"):
        parse_options(["-c", "--monitor", text])


def test_nought_is_the_default_uid() -> None:
    assert parse_options(["-c", "-U", "0x0"]).uid == 0
    with pytest.raises(OptionError):
        parse_uid("0")


def test_lists_are_of_any_length() -> None:
    names = [f"10.0.{number // 250}.{number % 250 + 1}" for number in range(3000)]
    assert parse_options(["-c", "-H", ",".join(names)]).heartbeat_hosts == tuple(names)


def test_an_empty_item_of_a_list_says_nothing() -> None:
    assert parse_options(["-c", "-I", "eth0,,eth1", "-H", ""]).interfaces == ("eth0", "eth1")


@pytest.mark.parametrize(("text", "dscp"), [("46", 46), ("0x2e", 46), ("056", 46), ("00", 0)])
def test_a_dscp_may_be_written_as_in_c(text: str, dscp: int) -> None:
    assert parse_options(["-c", "-Q", text]).dscp == dscp


def test_keys_and_files_must_be_as_many() -> None:
    with pytest.raises(OptionError, match="-k and -K"):
        parse_options(["-c", "-k", "a,b", "-K", "rsa:1024"])


def test_long_names_may_be_shortened_while_they_are_unique() -> None:
    assert parse_options(["-c", "--max-g", "7"]).max_groups == 7
    with pytest.raises(OptionError, match="not a unique prefix"):
        parse_options(["-c", "--max", "7"])


def test_unknown_options_and_missing_values_are_refused() -> None:
    for argv in (["-c", "-z"], ["-c", "-p"], ["-c", "--nothing"]):
        with pytest.raises(OptionError):
            parse_options(argv)


def test_help_and_version_need_no_mode() -> None:
    assert parse_options(["--help"]).shows_help
    assert parse_options(["--version"]).shows_version


def test_help_names_every_option() -> None:
    text = help_text()
    assert all(f"  {option.flag} " in text for option in OPTIONS)


def test_every_option_has_a_field_of_its_own() -> None:
    fields = [option.field for option in OPTIONS]
    assert sorted(fields) == sorted(field.name for field in dataclasses.fields(CommandLine))


def test_every_option_is_in_the_manual_page() -> None:
    page = (Path(__file__).parents[3] / "etc" / "man" / "uftpproxyd.8").read_text()
    missing = [
        row.flag for row in OPTIONS if not re.search(rf"^\.(It|Nm|Op)?.*Fl {row.flag[1:]}\b", page, re.MULTILINE)
    ]
    assert not missing

"""Settings of a command line: defaults, the socket's IP version, and what contradicts itself."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from proxyd.errors import SetupError
from proxyd.uftp.compiler import compile_frame, compile_settings
from proxyd.uftp.interfaces import Entry, parse_address
from proxyd.uftp.options import OptionError, parse_options
from workers.contract.settings import Address
from workers.contract.uftp import Interface, Mode, UftpSettings
from workers.wire import sockaddr


def entry(name: str, number: int, text: str) -> Entry:
    address = parse_address(text)
    assert address is not None
    return Entry(Interface(name, number, address), text.startswith("127."))


HERE = (
    entry("lo", 1, "127.0.0.1"),
    entry("a", 2, "10.0.0.2"),
    entry("a", 2, "10.0.0.3"),
    entry("b", 3, "10.1.0.2"),
    entry("b", 3, "fd77::2"),
)


def settings(*argv: str, entries: tuple[Entry, ...] = HERE) -> UftpSettings:
    return compile_settings(parse_options(argv), entries)


def text(raw: bytes) -> str:
    address, port = sockaddr.decode(raw)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return f"{socket.inet_ntop(family, address.value.to_bytes(4 if address.version == 4 else 16))} {port}"


def test_a_server_proxy_listens_to_the_public_group_on_every_interface_once() -> None:
    made = settings("-s", "10.9.9.9")
    assert made.mode is Mode.SERVER
    assert (made.version, made.port, made.target_port) == (4, 1044, 1044)
    assert text(made.downstream or b"") == "10.9.9.9 1044"
    assert [text(group) for group in made.public_groups] == ["230.4.4.1 1044"]
    assert [interface.name for interface in made.interfaces] == ["a", "b"]
    assert text(made.own) == "10.0.0.2 1044"
    assert made.uid == 0x0A000002


def test_a_client_proxy_listens_to_no_group() -> None:
    made = settings("-c", "-M", "nonsense", "-O", "b", "-q", "1045", "-U", "c0c0")
    assert (made.mode, made.public_groups, made.interfaces) == (Mode.CLIENT, (), ())
    assert (made.out_interface.name, made.target_port, made.uid) == ("b", 1045, 0xC0C0)


def test_a_response_proxy_has_one_port() -> None:
    made = settings("-r", "-p", "1046", "-q", "1045")
    assert (made.port, made.target_port) == (1046, 1046)


def test_the_downstream_may_be_known_by_its_key_alone() -> None:
    made = settings("-s", "fp=" + ":".join(["AB"] * 20))
    assert made.downstream is None
    assert made.downstream_fingerprint == b"\xab" * 20
    with pytest.raises(OptionError, match="fingerprint"):
        settings("-s", "fp=AB")


@pytest.mark.parametrize(
    "argv",
    [
        ("-s", "fd77::9"),
        ("-s", "10.9.9.9", "-M", "ff15::4:4:1"),
        ("-c", "-O", "b/6"),
        ("-c", "-H", "[fd77::9]"),
        ("-r", "-M", "ff15::4:4:1"),
    ],
)
def test_the_socket_is_ipv6_where_anything_is(argv: tuple[str, ...]) -> None:
    made = settings(*argv)
    assert made.version == 6
    assert made.out_interface.address.version == 6


def test_ipv4_peers_of_an_ipv6_socket_are_mapped() -> None:
    assert text(settings("-c", "-O", "b/6", "-H", "10.9.9.9").heartbeats.targets[0]) == "::ffff:10.9.9.9 1044"


def test_multicast_leaves_by_the_named_interface_whatever_the_version() -> None:
    assert settings("-s", "fd77::9", "-O", "b").out_interface == HERE[4].interface
    with pytest.raises(SetupError, match="IPv6"):
        settings("-s", "fd77::9", "-O", "a")


def test_without_an_interface_it_cannot_start() -> None:
    with pytest.raises(SetupError, match="no interface"):
        settings("-c", entries=())


def test_a_group_is_heard_on_interfaces_of_its_own_version() -> None:
    made = settings("-s", "fd77::9", "-I", "a", "-M", "230.4.4.1")
    assert [(here.name, here.address.version) for here in made.interfaces] == [("a", 4)]
    made = settings("-s", "fd77::9", "-I", "b/6,b", "-M", "ff15::1,230.4.4.1")
    assert [(here.name, here.address.version) for here in made.interfaces] == [("b", 6), ("b", 4)]
    with pytest.raises(SetupError, match=r"join 230\.4\.4\.1: no interface listened to has an IPv4 address"):
        settings("-s", "fd77::9", "-I", "b/6", "-M", "230.4.4.1")


def test_the_usual_group_is_not_missed_where_no_interface_could_hear_it() -> None:
    assert settings("-s", "fd77::9", "-I", "b/6").public_groups == ()
    assert len(settings("-s", "fd77::9", "-I", "b/6,b").public_groups) == 1


def test_an_unknown_interface_is_named_with_its_option() -> None:
    with pytest.raises(OptionError, match="-I: found 'c'"):
        settings("-s", "10.9.9.9", "-I", "a,c")


def test_source_specific_groups_follow_from_a_server_list(tmp_path: Path) -> None:
    path = tmp_path / "servers"
    path.write_text("1|10.0.0.9\n2|10.0.0.9\n3|10.0.0.8\n")
    made = settings("-s", "10.9.9.9", "-S", str(path), "-M", "232.4.4.1")
    assert made.source_specific
    assert [text(source) for source in made.group_sources] == ["10.0.0.9 0", "10.0.0.8 0"]
    for argv in (("-M", "230.4.4.1"), ()):
        with pytest.raises(OptionError, match=r"-S: found the public group 230\.4\.4\.1"):
            settings("-s", "10.9.9.9", "-S", str(path), *argv)
    client = settings("-c", "-S", str(path))
    assert not client.source_specific
    assert client.servers is not None
    assert client.group_sources == ()


def test_a_uid_is_wanted_where_no_address_makes_one() -> None:
    with pytest.raises(SetupError, match="with -U"):
        settings("-c", entries=HERE[:1])
    assert settings("-c", "-U", "7", entries=HERE[:1]).uid == 7


def test_the_frame_gets_what_is_the_frames() -> None:
    line = parse_options(
        ["-c", "--workers", "3", "--user", "someone:group", "-g", "2", "-n", "7", "-x", "4", "-L", "a"]
    )
    frame = compile_frame(line, compile_settings(line, HERE))
    assert (frame.program, frame.name, frame.workers, frame.max_sessions) == ("uftpproxyd", "client", 3, 10_000)
    assert (frame.app_user, frame.app_group, frame.foreground) == ("someone", "group", False)
    log = frame.debug_log
    assert (log.level, log.file, log.rotate_bytes, log.rotate_count, log.json) == (8, "/a", 2_000_000, 7, False)
    assert frame.listeners[0].address == Address(4, 0)


def test_in_the_foreground_the_log_goes_to_standard_error() -> None:
    line = parse_options(["-cd", "-L", "/var/log/x", "--singleproc", "--workers", "4"])
    frame = compile_frame(line, compile_settings(line, HERE))
    assert (frame.debug_log.file, frame.foreground, frame.single_process, frame.workers) == (None, True, True, 1)

"""A command line read again: what its files say now, and what cannot change under transfers."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from proxyd.uftp.keyload import KeyLoadError
from proxyd.uftp.options import OptionError, parse_options
from proxyd.uftp.order import make_order
from proxyd.uftp.rereading import Program, absolute, begin, frame_of, line_of, text_of

BASE = ["-c", "-O", "lo", "-I", "lo"]


def test_a_list_that_has_changed_is_read_and_a_wrong_one_refused(tmp_path: Path) -> None:
    clients = tmp_path / "clients"
    clients.write_text("0x1111\n")
    program, settings, _ = begin(parse_options([*BASE, "-C", str(clients)]))
    assert [entry.uid for entry in settings.clients or ()] == [0x1111]
    clients.write_text("0x2222\n")
    reading = program.read()
    assert reading.worker is not None
    assert reading.settings.program == "uftpproxyd"
    clients.write_text("nonsense\n")
    with pytest.raises(OptionError, match=f"{clients}:1"):
        program.read()


def test_keys_that_were_made_stay_and_files_are_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    program, _, keys = begin(parse_options([*BASE, "-K", "rsa:1024", "-k", str(path)]))
    written = path.read_bytes()
    path.unlink()
    private = program.private()
    program.read()
    assert not path.exists()
    assert program.private() == private
    assert keys.titles
    assert written


def test_a_key_file_that_has_changed_is_read(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    begin(parse_options([*BASE, "-K", "rsa:1024", "-k", str(path)]))
    program, settings, _ = begin(parse_options([*BASE, "-k", str(path)]))
    assert program.look()[0].crypto == settings.crypto
    path.unlink()
    begin(parse_options([*BASE, "-K", "rsa:1024", "-k", str(path)]))
    assert program.look()[0].crypto != settings.crypto
    path.write_text("no key")
    with pytest.raises(KeyLoadError, match=str(path)):
        program.read()


def test_who_takes_over_has_the_keys_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    line = ["-r", "-O", "lo", "-I", "lo", "-K", "ec:prime256v1", "-k", str(path), "-e", "prime256v1"]
    first, _, _ = begin(parse_options(line))
    second, _, keys = begin(parse_options([*line, "--takeover"]))
    assert keys.titles == ()
    second.inherit(first.private())
    assert second.private() == first.private()


def test_a_throw_away_key_outlives_an_upgrade() -> None:
    line = ["-r", "-O", "lo", "-I", "lo"]
    first, _, _ = begin(parse_options(line))
    second, _, _ = begin(parse_options([*line, "--takeover"]))
    assert second.private() != first.private()
    second.inherit(first.private())
    assert second.private() == first.private()


@pytest.mark.parametrize("private", [b"", b"nonsense", b"\x83\xa4keys\x91\xc4\x03abc\xa4ecdh\xc0\xa4made\x90"])
def test_keys_that_cannot_be_read_are_refused(private: bytes) -> None:
    program, _, _ = begin(parse_options([*BASE, "--takeover"]))
    with pytest.raises(KeyLoadError, match="the keys that were left"):
        program.inherit(private)


def test_a_command_line_is_read_back_from_its_text() -> None:
    line = parse_options(["-s", "10.0.0.1", "-M", "230.4.4.1,230.4.4.2", "-U", "c0c0", "-x", "3", "--max-groups", "7"])
    assert line_of(text_of(line)) == line
    with pytest.raises(OptionError):
        line_of("{")


def test_a_path_that_is_no_text_is_read_back_too() -> None:
    line = parse_options(["-c", "-P", "/run/\udcff.pid", "-L", "/var/log/ü.log"])
    assert text_of(line).isascii()
    assert line_of(text_of(line)) == line


def test_what_the_frame_needs_is_made_of_a_text() -> None:
    line = parse_options([*BASE, "-p", "1055", "--max-groups", "7"])
    assert frame_of(text_of(line)) == make_order(line).settings


def test_files_to_read_are_named_from_the_root() -> None:
    line = absolute(parse_options([*BASE, "-k", "key,/k2", "-C", "c", "-S", "/s"]), Path("/etc/uftp"))
    assert line.key_files == ("/etc/uftp/key", "/k2")
    assert (line.client_list, line.server_list) == ("/etc/uftp/c", "/s")


def test_a_daemon_reads_its_files_from_where_it_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clients").write_text("0x1111\n")
    program, _, _ = begin(parse_options([*BASE, "-C", "clients"]))
    os.chdir("/")
    program.read()


def test_a_proxy_keeps_its_id_though_its_first_address_is_another() -> None:
    line = parse_options(BASE)
    _, settings, keys = begin(line)
    assert Program(line, dataclasses.replace(settings, uid=77), keys).look()[0].uid == 77


def test_another_ip_version_takes_a_restart() -> None:
    line = parse_options(BASE)
    _, settings, keys = begin(line)
    with pytest.raises(OptionError, match="IPv4 for the proxy's one socket, which is of IPv6"):
        Program(line, dataclasses.replace(settings, version=6), keys).read()

"""Lists of servers and clients, and what of them is refused, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxyd.uftp.lists import parse_fingerprint, read_clients, read_servers
from proxyd.uftp.options import OptionError
from workers.contract.settings import Address
from workers.contract.uftp import ClientEntry, ServerEntry

PRINT = "66:1E:C9:1D:FC:99:DB:60:B0:1A:F0:8F:CA:F4:28:27:A6:BE:94:BC"
RAW = bytes.fromhex(PRINT.replace(":", ""))
HOSTS = {"192.168.1.101": Address(4, 0xC0A80165), "server": Address(6, 5)}


def look_up(text: str) -> Address:
    if text not in HOSTS:
        raise OptionError(f"found the host '{text}'; wanted one that has an address")
    return HOSTS[text]


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_client_list_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "c", f"# clients\n\n0x00001111|{PRINT}\r\n 2222\n3333|\n")
    assert read_clients(path) == (ClientEntry(0x1111, RAW), ClientEntry(0x2222, None), ClientEntry(0x3333, None))


def test_a_server_list_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "s", f"0x11112222|192.168.1.101|{PRINT}\n0x11113333|server\n")
    assert read_servers(path, look_up) == (
        ServerEntry(0x11112222, HOSTS["192.168.1.101"], RAW),
        ServerEntry(0x11113333, HOSTS["server"], None),
    )


@pytest.mark.parametrize("line", ["0", "ffffffff", "nobody", "1|2|3", f"1|{PRINT[:-3]}", "1|zz:zz"])
def test_a_wrong_line_of_clients_is_named(tmp_path: Path, line: str) -> None:
    path = written(tmp_path / "c", f"0x1\n{line}\n")
    with pytest.raises(OptionError, match=f"{path}:2: "):
        read_clients(path)


@pytest.mark.parametrize("line", ["1", "1|nowhere", "1|server|x", "1|server||", "0|server"])
def test_a_wrong_line_of_servers_is_named(tmp_path: Path, line: str) -> None:
    path = written(tmp_path / "s", f"{line}\n")
    with pytest.raises(OptionError, match=f"{path}:1: "):
        read_servers(path, look_up)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="No such file"):
        read_clients(str(tmp_path / "none"))


def test_a_list_of_any_length_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "c", "".join(f"{uid:x}\n" for uid in range(1, 5001)))
    assert len(read_clients(path)) == 5000


@pytest.mark.parametrize("text", ["", "66:1E", PRINT + ":00", PRINT.replace("66", "-6"), PRINT.replace("66", "066")])
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="fingerprint"):
        parse_fingerprint(text)


def test_a_fingerprint_is_read_in_either_case() -> None:
    assert parse_fingerprint(PRINT.lower()) == RAW

"""An order has everything that the frame needs, looked up and read before anything is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxyd.uftp.keyload import KeyLoadError
from proxyd.uftp.options import OptionError, parse_options
from proxyd.uftp.order import make_order


def test_the_log_begins_with_who_it_is_and_its_keys() -> None:
    order = make_order(parse_options(["-c", "-O", "lo", "-I", "lo", "-U", "c0c0", "-K", "rsa:1024"]))
    (title, key) = order.banner
    assert title[0] == "uftp-started"
    assert title[1][2:] == ("client", 0xC0C0)
    assert key[1][1:3] == (1, "RSA, 1024 bits")
    assert order.settings.program == "uftpproxyd"


def test_there_is_no_pidfile_unless_one_is_named() -> None:
    assert make_order(parse_options(["-c", "-O", "lo", "-I", "lo"])).pidfile == ""
    assert make_order(parse_options(["-c", "-O", "lo", "-I", "lo", "-P", "x.pid"])).pidfile == "/x.pid"


def test_nothing_is_written_where_the_command_line_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    with pytest.raises(OptionError):
        make_order(parse_options(["-c", "-O", "no-such-interface", "-k", str(path), "-K", "rsa:1024"]))
    assert not path.exists()


def test_a_key_that_cannot_be_read_is_named() -> None:
    with pytest.raises(KeyLoadError, match="/no/such/key"):
        make_order(parse_options(["-c", "-O", "lo", "-I", "lo", "-k", "/no/such/key"]))

"""Keys of the command line: read, made, made and written; and what is refused."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from proxyd.uftp.keyload import KeyLoadError, Keys, load_keys, title_of
from proxyd.uftp.options import OptionError, parse_options


def keys(*argv: str) -> Keys:
    return load_keys(parse_options(argv))


def test_new_keys_are_written_for_their_owner_and_read_again(tmp_path: Path) -> None:
    paths = [tmp_path / "rsa.pem", tmp_path / "ec.pem"]
    files = ",".join(map(str, paths))
    made = keys("-c", "-k", files, "-K", "rsa:1024,ec:prime256v1")
    assert [stat.S_IMODE(path.stat().st_mode) for path in paths] == [0o600, 0o600]
    assert [kind for kind, _ in made.titles] == ["RSA, 1024 bits", "ECDSA, curve prime256v1"]
    assert keys("-c", "-k", files).titles == made.titles


def test_a_key_file_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("mine")
    with pytest.raises(KeyLoadError, match="there already"):
        keys("-c", "-k", str(path), "-K", "rsa:1024")
    assert path.read_text() == "mine"


def test_a_missing_or_meaningless_file_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("nothing")
    for path in (wrong, tmp_path / "none"):
        with pytest.raises(KeyLoadError, match=str(path)):
            keys("-c", "-k", str(path))


@pytest.mark.parametrize(
    "argv",
    [
        ("-K", "rsa:100"),
        ("-K", "dsa:1024"),
        ("-K", "ec:secp160r1"),
        ("-K", "rsa:1000"),
        ("-re", "nosuch"),
        ("-ce", "nosuch"),
    ],
)
def test_kinds_of_keys_that_there_are_not_are_the_command_lines_fault(argv: tuple[str, ...]) -> None:
    with pytest.raises(OptionError, match="-K, -e"):
        keys(*(("-c", *argv) if argv[0] == "-K" else argv))


def test_the_curve_is_a_response_proxys_alone() -> None:
    assert keys("-re", "prime256v1").crypto.ecdh_curve == 23
    assert keys("-ce", "prime256v1").crypto.ecdh_curve is None
    # One that the library lacks: nothing is done with it.
    assert keys("-ce", "secp160r1").crypto.ecdh_curve is None


def test_a_throw_away_key_that_is_shown_is_the_same_everywhere() -> None:
    ring = keys("-r").ring
    assert ring.first() is ring.first()


@pytest.mark.parametrize("mode", ["-c", "-r"])
def test_a_throw_away_key_is_told_at_the_start(mode: str) -> None:
    made = keys(mode)
    assert made.titles == tuple(map(title_of, made.ring.made))
    assert [kind for kind, _ in made.titles] == ["RSA, 512 bits"]


def test_a_server_proxy_without_heartbeats_makes_no_key() -> None:
    assert keys("-s", "10.99.2.3").titles == ()


def test_limits_of_what_is_accepted_go_with_the_keys() -> None:
    crypto = keys("-c", "--min-rsa-bits", "2048", "--strong-crypto-only").crypto
    assert (crypto.min_rsa_bits, crypto.strong_only) == (2048, True)

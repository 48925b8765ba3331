from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from proxyd.keys.files import KeyFileError, describe, is_exposed, read_key, write_key
from proxyd.keys.spec import parse_key_spec
from workers.uftp.fingerprint import format_fingerprint
from workers.uftp.keys import fingerprint_of

KEY = parse_key_spec("ec:prime256v1").make(os.urandom)
ENCRYPTED = KEY.native.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.BestAvailableEncryption(b"secret"),
)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "key.pem")


@pytest.mark.parametrize("spec", ["rsa:512", "rsa:1024", "ec:secp521r1"])
def test_a_key_is_written_and_read_again(spec: str, path: str) -> None:
    key = parse_key_spec(spec).make(os.urandom)
    write_key(path, key)
    assert read_key(path).public.blob == key.public.blob


def test_a_key_is_its_owners_only(path: str) -> None:
    before = os.umask(0)
    try:
        write_key(path, KEY)
    finally:
        os.umask(before)
    assert Path(path).stat().st_mode & 0o777 == 0o600
    assert not is_exposed(path)
    Path(path).chmod(0o640)
    assert is_exposed(path)


def test_a_file_that_is_there_is_not_written_over(path: str) -> None:
    Path(path).write_text("something else")
    with pytest.raises(KeyFileError, match="there already"):
        write_key(path, KEY)
    assert Path(path).read_text() == "something else"


def test_a_link_into_nowhere_is_not_followed(path: str, tmp_path: Path) -> None:
    Path(path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError, match="there already"):
        write_key(path, KEY)
    assert not (tmp_path / "elsewhere").exists()


def test_a_place_that_cannot_be_written_to_is_named(path: str) -> None:
    with pytest.raises(KeyFileError, match=f"^{path}/key: No such file"):
        write_key(f"{path}/key", KEY)


def test_a_write_that_fails_leaves_no_half_key(path: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(KeyFileError, match="File too large"):
            write_key(path, KEY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert not Path(path).exists()


@pytest.mark.parametrize("broken", ["missing", "directory", "text", "device"])
def test_a_file_that_is_no_key_is_refused_by_name(broken: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("Not a key.\n")
    (tmp_path / "directory").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    with pytest.raises(KeyFileError) as refusal:
        read_key(str(tmp_path / broken))
    assert str(refusal.value).startswith(str(tmp_path / broken))


def test_the_passphrase_of_an_encrypted_key_is_asked_for_once(path: str) -> None:
    Path(path).write_bytes(ENCRYPTED)
    asked = []

    def ask(name: str) -> bytes:
        asked.append(name)
        return b"secret"

    assert read_key(path, ask).public.blob == KEY.public.blob
    assert asked == [path]


@pytest.mark.parametrize("ask", [None, lambda _: b"wrong", lambda _: b""], ids=["nobody", "wrong", "empty"])
def test_without_the_passphrase_an_encrypted_key_is_refused(ask, path: str) -> None:
    Path(path).write_bytes(ENCRYPTED)
    with pytest.raises(KeyFileError, match=r"encrypted|passphrase"):
        read_key(path, ask)


def test_a_key_is_described_as_uftp_keymgt_does() -> None:
    wanted = f"k: ECDSA, curve prime256v1, fingerprint: {format_fingerprint(fingerprint_of(KEY.public))}"
    assert describe("k", KEY) == wanted


def test_what_is_not_there_is_neither_exposed_nor_hidden(path: str) -> None:
    with pytest.raises(KeyFileError, match="No such file"):
        is_exposed(path)

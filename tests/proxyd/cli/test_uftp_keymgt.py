from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from proxyd import __version__
from proxyd.cli.uftp_keymgt import main
from tests.kit.requirement import requires_program
from workers.uftp.curves import AVAILABLE, CURVES

ROOT = Path(__file__).parents[3]
FINGERPRINT = r"([0-9A-F]{2}:){19}[0-9A-F]{2}"
SPECS = ("rsa:512", "rsa:1024", "rsa:2048", *(f"ec:{name}" for name in AVAILABLE))

MISSING = [curve.name for curve in CURVES.values() if curve.make is None and curve.name != "secp224k1"]
"""Curves that the original alone can do; secp224k1 it can only print."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "key.pem"


def original(*arguments: str) -> str:
    """Return what uftp_keymgt says, which is all on its standard error."""
    return subprocess.run(["uftp_keymgt", *arguments], capture_output=True, text=True, timeout=60, check=True).stderr


@pytest.mark.parametrize("spec", SPECS)
def test_a_key_is_made_shown_and_shown_again(spec: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-g", spec, str(file)]) == 0
    made = capsys.readouterr().out
    assert re.fullmatch(rf"{file}: (RSA, \d+ bits|ECDSA, curve \w+), fingerprint: {FINGERPRINT}\n", made)
    assert main([str(file)]) == 0
    assert capsys.readouterr() == (made, "")


@pytest.mark.parametrize(
    ("spec", "warning"), [("rsa:1000", "a multiple of 32"), ("rsa:2080", "crash on RSA keys of more than 2048 bits")]
)
def test_a_key_of_little_use_is_warned_of(
    spec: str, warning: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-g", spec, str(file)]) == 0
    assert warning in capsys.readouterr().err


@requires_program("uftp_keymgt")
@pytest.mark.parametrize("spec", SPECS)
def test_the_original_shows_our_keys_alike(spec: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-g", spec, str(file)]) == 0
    assert original(str(file)) == capsys.readouterr().out


@requires_program("uftp_keymgt")
@pytest.mark.parametrize("spec", SPECS)
def test_we_show_the_originals_keys_alike(spec: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = original("-g", spec, str(file))
    file.chmod(0o600)
    assert main([str(file)]) == 0
    assert capsys.readouterr() == (made, "")


@requires_program("uftp_keymgt")
@pytest.mark.parametrize("name", MISSING)
def test_an_originals_key_on_a_curve_that_we_lack_is_refused_by_name(
    name: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    original("-g", f"ec:{name}", str(file))
    assert main([str(file)]) == 3
    assert f"{file}: the curve {name} cannot be used here; wanted one of prime192v1" in capsys.readouterr().err


@requires_program("openssl")
@pytest.mark.parametrize(
    "command",
    [
        "ecparam -name prime256v1 -genkey -out",
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out",
        "genrsa -out {} 1024",
        "genrsa -traditional -out {} 1024",
    ],
)
def test_keys_of_openssl_are_shown(command: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = command.format(file).split() if "{}" in command else [*command.split(), str(file)]
    subprocess.run(["openssl", *words], capture_output=True, timeout=60, check=True)
    file.chmod(0o600)
    assert main([str(file)]) == 0
    assert re.search(FINGERPRINT, capsys.readouterr().out)


def test_fingerprints_alone_are_one_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(tmp_path / name) for name in ("a", "b")]
    for file in files:
        main(["-g", "ec:prime256v1", file])
    capsys.readouterr()
    assert main(["-fm", *files]) == 0
    assert re.fullmatch(rf"{FINGERPRINT}\n{FINGERPRINT}\n", capsys.readouterr().out)


def test_a_file_that_is_there_is_not_written_over(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("precious")
    assert main(["-g", "rsa:512", str(file)]) == 3
    assert file.read_text() == "precious"
    assert "there already" in capsys.readouterr().err


def test_one_bad_file_does_not_hide_the_others(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["-g", "rsa:512", str(file)])
    capsys.readouterr()
    assert main([f"{file}.not", str(file)]) == 3
    seen = capsys.readouterr()
    assert seen.out.startswith(f"{file}: RSA, 512 bits")
    assert seen.err == f"uftp-keymgt: {file}.not: No such file or directory\n"


def test_a_key_that_others_may_read_is_warned_of(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["-g", "rsa:512", str(file)])
    file.chmod(0o644)
    assert main([str(file)]) == 0
    assert "warning" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["-g", "rsa:512"],
        ["-g", "rsa:512", "a", "b"],
        ["-g", "rsa:12", "a"],
        ["-g", "ec:sect163k1", "a"],
        ["-d", "a"],
        ["-x", "a"],
        ["-g"],
    ],
)
def test_a_wrong_command_line_is_told_with_the_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 1
    seen = capsys.readouterr()
    assert seen.out == ""
    assert "usage: uftp-keymgt" in seen.err


@pytest.mark.parametrize(("help_option", "version_option"), [("-h", "-v"), ("--help", "--version")])
def test_help_and_version_are_printed(
    help_option: str, version_option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([help_option]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in AVAILABLE)
    assert main([version_option]) == 0
    assert __version__ in capsys.readouterr().out


def test_it_is_a_command_of_its_own(file: Path) -> None:
    command = [sys.executable, "-m", "proxyd.cli.uftp_keymgt", "-g", "ec:secp384r1", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert "curve secp384r1" in done.stdout
    assert not done.stderr


def test_the_manual_page_names_every_option_status_and_curve() -> None:
    page = (ROOT / "etc" / "man" / "uftp-keymgt.1").read_text()
    assert all(f".Cm {name}" in page for name in AVAILABLE)
    assert all(f".It Fl {letter}" in page for letter in "fghmv")
    assert re.findall(r"^\.It (\d)$", page, re.MULTILINE) == ["0", "1", "3"]

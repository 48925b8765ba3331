"""Commands whose output goes nowhere end with a status and at most one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxyd.cli.guard import CANNOT_WRITE, INTERRUPTED, guarded

COMMANDS = ["proxyd.cli.udp_proxy", "proxyd.cli.test_udp"]


def run(module: str, **streams: object) -> subprocess.CompletedProcess[bytes]:
    call = f"import sys; from {module} import main; sys.exit(main(['-h']))"
    return subprocess.run([sys.executable, "-c", call], stderr=subprocess.PIPE, check=False, timeout=60, **streams)


@pytest.mark.parametrize("module", COMMANDS)
def test_a_full_disk_is_told_in_a_line(module: str) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = run(module, stdout=full)
    assert ended.returncode == CANNOT_WRITE
    assert ended.stderr.count(b"\n") == 1
    assert b"No space left on device" in ended.stderr


@pytest.mark.parametrize("module", COMMANDS)
def test_a_reader_that_has_gone_is_told_nothing(module: str) -> None:
    readable, writable = os.pipe()
    os.close(readable)
    ended = run(module, stdout=writable)
    os.close(writable)
    assert (ended.returncode, ended.stderr) == (CANNOT_WRITE, b"")


@pytest.mark.parametrize("module", COMMANDS)
def test_a_closed_output_is_no_mistake(module: str) -> None:
    ended = run(module, preexec_fn=lambda: os.close(1))
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_what_the_output_cannot_encode_is_escaped() -> None:
    call = "from proxyd.cli.guard import guarded; guarded('t')(lambda argv: print('\u017e'))([])"
    surroundings = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run([sys.executable, "-c", call], env=surroundings, capture_output=True, check=False, timeout=60)
    assert (ended.stdout, ended.stderr) == (b"\\u017e\n", b"")


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_what_is_opened_later_never_takes_the_place_of_a_closed_stream(closed: tuple[int, ...], tmp_path: Path) -> None:
    told = tmp_path / "told"
    call = f"""
import os, sys
from proxyd.cli.guard import guarded

@guarded("test")
def main(argv=None):
    sys.stderr.write("nobody reads this")
    with open({str(told)!r}, "w") as file:
        streams = [stream.fileno() for stream in (sys.stdin, sys.stdout, sys.stderr)]
        places = [os.readlink(f"/proc/self/fd/{{number}}") for number in {closed}]
        print(file.fileno(), *streams, *places, file=file)
    return 0

sys.exit(main())
"""

    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    ended = subprocess.run([sys.executable, "-c", call], preexec_fn=close, check=False, timeout=60)
    number, *words = told.read_text().split()
    assert (ended.returncode, words) == (0, ["0", "1", "2", *[os.devnull] * len(closed)])
    assert int(number) > 2


def test_an_interrupt_has_a_status() -> None:
    @guarded("test")
    def main(argv: object = None) -> int:
        raise KeyboardInterrupt(argv)

    assert main([]) == INTERRUPTED

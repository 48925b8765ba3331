"""The commands as a user meets them: what each command line prints, where, and the status it ends with."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.kit.installed import TEST_UDP, UDP_PROXY, launch, requires_installed
from tests.kit.place import Place
from tests.kit.ports import free_port
from tests.kit.proxy import STARTED, Configuration, acl, unique_name
from tests.kit.requirement import requires_root

USAGE = {
    UDP_PROXY: "usage: udp-proxy [-hv] [-d dbglev] [-P pidfile] [--check] [--foreground] [--takeover] -f cfgfile",
    TEST_UDP: "usage: test-udp [-hv] [-d dbglev] -f cfgfile [-r] [-t test_expr]",
}
TAG = "KERNUN-2_3-RELEASE"
BROKEN = """version KERNUN-2_3-RELEASE;
udp-proxy {name} {{ {nodaemon}
  log-debug {{ file "{folder}/debug.log"; }} chroot-dir "{folder}/none";
  listen-on {{ non-transparent [127.0.0.1] prot {port}; }}
  udpserver {{ workers 300; }}
  session-acl A {{ accept; plug-to [192.0.2.1] : 53; source-port client; }}
}}
"""
WRONG = (
    ("3:{column}: udp-proxy {name}: found '{folder}/none'; wanted an existing directory", ""),
    ("4:43: udp-proxy {name} / listen-on: found 'prot'; wanted ", "(did you mean 'proto'?)"),
    ("5:3: udp-proxy {name} / udpserver: found no 'max-sessions'; wanted ", "max-sessions"),
    ("5:23: udp-proxy {name} / udpserver: found '300'; wanted ", "a number from 1 to 255"),
    ("6:53: udp-proxy {name} / session-acl A: found 'source-port'; wanted ", "'source-address client'"),
)

pytestmark = requires_installed
both = pytest.mark.parametrize("program", list(USAGE), ids=lambda path: path.name)


@both
def test_help_is_printed_to_standard_output(here: Place, program: Path) -> None:
    done = here.run([program, "-h"])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{USAGE[program]}\n")
    letters = {UDP_PROXY: "hvdPf", TEST_UDP: "hvdfrt"}[program]
    assert re.findall("^  -(.)  ", done.stdout, re.MULTILINE) == list(letters)


@both
def test_the_version_has_the_tag_for_configurations(here: Place, program: Path) -> None:
    done = here.run([program, "-v"])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{program.name} ")
    assert done.stdout.split()[-1] == TAG


@both
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-f"],
        ["-d", "5"],
        ["-x"],
        ["-f", "x", "more"],
        *(["-d", level, "-f", "x"] for level in ("2", "10", "x", "")),
    ],
    ids=" ".join,
)
def test_what_is_no_command_line_is_refused_with_the_usage(here: Place, program: Path, options: list[str]) -> None:
    done = here.run([program, *options], check=False)
    assert (done.returncode, done.stdout) == (64, "")
    first, second = done.stderr.splitlines()
    assert first.startswith(f"{program.name}: ")
    assert second == USAGE[program]


@pytest.mark.parametrize("option", [["-r"], ["-t", "help;"]], ids=" ".join)
def test_options_of_the_checker_are_not_the_proxys(here: Place, option: list[str]) -> None:
    assert here.run([UDP_PROXY, "-f", "/dev/null", *option], check=False).returncode == 64


@both
@pytest.mark.parametrize("path", ["/no/such/file", "/", "/dev/null"])
def test_a_file_that_is_no_configuration_is_told_with_its_name(here: Place, program: Path, path: str) -> None:
    done = here.run([program, "-f", path], check=False)
    assert done.returncode == 1
    assert f"{path}:1:1: " in done.stderr


@both
@pytest.mark.parametrize("nodaemon", ["", "nodaemon;"], ids=["daemon", "foreground"])
def test_every_error_of_a_configuration_is_told_and_nothing_opened(
    tmp_path: Path, here: Place, program: Path, nodaemon: str
) -> None:
    name, path = unique_name(), tmp_path / "broken.cfg"
    path.write_text(BROKEN.format(name=name, folder=tmp_path, port=free_port(), nodaemon=nodaemon))
    done = here.run([program, "-f", path], check=False)
    assert (done.returncode, done.stdout) == (1, "")
    said = done.stderr.splitlines()
    column = len(f'  log-debug {{ file "{tmp_path}/debug.log"; }} chroot-dir ') + 1
    for line, (place, wanted) in zip(said, WRONG, strict=True):
        assert f"{path}:{place.format(name=name, folder=tmp_path, column=column)}" in line
        assert wanted in line
    assert {entry.name for entry in tmp_path.iterdir()} == {"broken.cfg"}
    assert not Path(f"/run/udp-proxy-{name.lower()}.pid").exists()


@pytest.mark.parametrize(
    ("expression", "status", "said"),
    [
        ("test from [127.0.0.2] to [127.0.0.1] : 53;", 0, "NAME=IN ACCEPTED PLUG-TO=[192.0.2.1]:53 TYPE=normal"),
        ("test from [127.0.0.9] to [127.0.0.1] : 53;", 2, "NAME=BAD REJECTED"),
        ("test from [192.0.2.9] to [127.0.0.1] : 53;", 2, "NAME=<NULL> REJECTED"),
        ("test from [127.0.0.2]; test from [127.0.0.9];", 2, "NAME=BAD REJECTED"),
        ("show-acl;", 0, "session-acl IN {"),
        ("show-acl 2;", 1, ""),
        ("show-proxy;", 0, "max-sessions 7;"),
        ("show-proxy all;", 0, "respawn-limit 30 60;"),
        ("help;", 0, "show-hash"),
        ("tset;", 1, ""),
        ("test from [127.0.0.2]", 1, ""),
        ("", 1, ""),
    ],
)
def test_a_test_expression_ends_with_its_result(
    tmp_path: Path, here: Place, expression: str, status: int, said: str
) -> None:
    rules = """
        session-acl BAD { from { [127.0.0.9] }; deny; }
        session-acl IN { from { [127.0.0.0/8] }; accept; plug-to [192.0.2.1] : 53; timeout both 9; }"""
    path = tmp_path / "checked.cfg"
    path.write_text(Configuration("non-transparent [127.0.0.1] port 53;", rules, sessions=7).text)
    done = here.run([TEST_UDP, "-f", path, "-t", expression], check=False)
    assert done.returncode == status, done
    assert said in done.stdout
    assert bool(done.stderr) == (status == 1), done


def test_the_hash_is_that_of_the_meaning_and_not_of_the_text(tmp_path: Path, here: Place) -> None:
    path, hashes = tmp_path / "hashed.cfg", []
    text = Configuration("non-transparent [127.0.0.1] port 53;", acl("[192.0.2.1] : 53"), name="H").text
    for version in (
        text,
        f"# a comment\n{text}",
        text.replace("workers 2;", "workers 2; respawn-limit 30 60;"),
        text.replace("53", "54"),
    ):
        path.write_text(version)
        hashes.append(here.run([TEST_UDP, "-f", path, "-t", "show-hash;"]).stdout)
    assert re.fullmatch(r"[0-9a-f]{64}\n", hashes[0])
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]


def test_the_level_of_the_command_line_ends_with_the_reading(tmp_path: Path, here: Place) -> None:
    text = Configuration(f"non-transparent [127.0.0.1] port {free_port()};", acl("[127.0.0.1] : 9")).text
    quiet = launch(here, tmp_path, text.replace("nodaemon;", "nodaemon; log-debug { level error; }"), "-d", "9")
    quiet.wait_for(STARTED)
    assert quiet.stop() == 0
    letters = re.findall(r" [A-Z]{4}-\d+-([A-Z]) ", quiet.output)
    assert letters[0] == "D"
    assert "Configuration" in quiet.lines[0]
    assert not set(letters[1:]) & set("WDTF")
    loud = launch(here, tmp_path, text.replace("nodaemon;", "nodaemon; log-debug { level full; }"), "-d", "3")
    loud.wait_for(STARTED)
    assert loud.stop() == 0
    assert "CFGR-100-D" in loud.output


UNAVAILABLE = {
    "address": ("", r"bind \[192.0.2.77\]:5300: the address is not configured on this machine"),
    "log": (
        'log-debug { file "/no/such/folder/log"; }',
        "open log-debug /no/such/folder/log: No such file or directory",
    ),
    "user": ("app-user no-such-user;", "app-user no-such-user: no such user"),
    "root": ("app-user root;", "app-user root: children may not be root"),
    "group": ("app-user nobody group none-such;", "app-user group none-such: no such group"),
}


@requires_root
@pytest.mark.parametrize(("case", "nodaemon"), [*((case, "") for case in UNAVAILABLE), ("user", "nodaemon;")])
def test_what_cannot_be_set_up_ends_with_69_and_the_step(tmp_path: Path, here: Place, case: str, nodaemon: str) -> None:
    port, name, (items, words) = free_port(), unique_name(), UNAVAILABLE[case]
    listen = (
        "non-transparent [192.0.2.77] port 5300;" if case == "address" else f"non-transparent [127.0.0.1] port {port};"
    )
    text = Configuration(listen, acl("[127.0.0.1] : 9"), f"{nodaemon} {items}", name=name).text
    started = launch(here, tmp_path, text)
    assert started.wait() == 69
    assert re.search(rf"^udp-proxy: {words}$", started.output, re.MULTILINE), started.output
    assert not Path(f"/run/udp-proxy-{name.lower()}.pid").exists()
    with here.socket() as free:
        free.bind(("127.0.0.1", port))


def test_an_interrupt_ends_it_orderly(tmp_path: Path, here: Place) -> None:
    text = Configuration(f"non-transparent [127.0.0.1] port {free_port()};", acl("[127.0.0.1] : 9")).text
    process = launch(here, tmp_path, text)
    process.wait_for(STARTED)
    # As a terminal does it: to the whole process group.
    os.killpg(process.pid, 2)
    assert process.wait() == 0
    assert [re.findall(r"UDPS-\d+-K", line)[0] for line in process.lines[-2:]] == ["UDPS-701-K", "UDPS-722-K"]
    assert "ended unexpectedly" not in process.output

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from proxyd import VERSION_TAG
from proxyd.cli.test_udp import main
from tests.kit.requirement import find_program, requires_program, requires_root
from tests.proxyd.config.samples import acl, config

EXAMPLES = sorted((Path(__file__).parents[3] / "etc" / "examples").glob("*.cfg"))
UNPRIVILEGED = 65534


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "t.cfg"


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_the_examples_are_ok(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-f", str(path)]) == 0
    assert capsys.readouterr().out == "configuration OK\n"


def test_the_documented_expression_is_answered(capsys: pytest.CaptureFixture[str]) -> None:
    relay = str(next(path for path in EXAMPLES if path.stem == "dns-relay"))
    assert main(["-f", relay, "-t", "test from [192.168.10.7] to [2.2.2.2] : 53;"]) == 0
    assert capsys.readouterr().out == (
        "TEST FROM=[192.168.10.7] TO=[2.2.2.2]:53 TRANSP=NO USER=<NULL> NAME=INTOK ACCEPTED"
        " PLUG-TO=[203.0.113.53]:53 TYPE=normal\n"
    )
    assert main(["-f", relay, "-t", "test from [1.1.1.1] to [2.2.2.2] : 53;"]) == 2
    assert capsys.readouterr().out == (
        "TEST FROM=[1.1.1.1] TO=[2.2.2.2]:53 TRANSP=NO USER=<NULL> NAME=<NULL> REJECTED\n"
    )


def test_one_rejected_test_of_several_is_told_by_the_status(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(acl("from [192.0.2.1]; accept; plug-to [::1]:5; timeout in 1;"))
    expression = "test from [192.0.2.2]; test from [192.0.2.1]; show-hash;"
    assert main(["-f", str(file), "-t", expression]) == 2
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[:2]] == ["TEST", "TEST"]
    assert main(["-f", str(file), "-t", "test from [192.0.2.1]; help; show-acl;"]) == 0


def test_all_errors_go_to_standard_error(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(config(proxy="nodaemn; phase 300;", server=""))
    assert main(["-f", str(file), "-t", "help;"]) == 1
    written = capsys.readouterr()
    assert written.out == ""
    assert len(written.err.splitlines()) == 3
    assert written.err.startswith(f"{file}:1:")
    assert "did you mean 'nodaemon'?" in written.err


@pytest.mark.parametrize("expression", ["bad;", "help", "show-acl 2;", ""])
def test_a_wrong_expression_is_an_error(expression: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(config())
    assert main(["-f", str(file), "-t", expression]) == 1
    assert capsys.readouterr().err.startswith("test_expr:1:")


def test_a_missing_file_is_an_error(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-f", str(file)]) == 1
    assert "No such file" in capsys.readouterr().err


def test_a_wrong_command_line_is_told_apart() -> None:
    assert main(["-d", "2", "-f", "x"]) == 64


def test_warnings_go_to_standard_error(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(acl("accept; plug-to [::1];", file="queue q { rate 1M burst 100; }"))
    assert main(["-f", str(file)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"warning: {file}:1:") for line in lines)
    assert main(["-d", "3", "-f", str(file)]) == 0
    assert capsys.readouterr().err == ""


def test_at_level_7_every_condition_evaluated_is_printed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(acl("from [192.0.2.1]; to [192.0.2.2]; deny;"))
    arguments = ["-f", str(file), "-t", "test from [192.0.2.1] to [192.0.2.3]:5;"]
    assert main(["-d", "6", *arguments]) == 2
    assert capsys.readouterr().err == ""
    assert main(["-d", "7", *arguments]) == 2
    assert capsys.readouterr().err == (
        "session-acl A: from [192.0.2.1]: holds\nsession-acl A: to [192.0.2.3]:5: fails\n"
    )


def test_a_destination_that_rules_need_is_asked_for(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(acl("to [192.0.2.2]; deny;"))
    assert main(["-f", str(file), "-t", "test from [192.0.2.1];"]) == 2
    assert "which the expression does not give" in capsys.readouterr().err


def test_names_are_resolved_only_when_asked_for(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(acl("accept; plug-to localhost : 53; timeout in 1;"))
    arguments = ["-f", str(file), "-t", "test to [127.0.0.1]:53;"]
    assert main(arguments) == 0
    assert "PLUG-TO=localhost:53" in capsys.readouterr().out
    assert main([*arguments, "-r"]) == 0
    assert "PLUG-TO=[127.0.0.1]:53" in capsys.readouterr().out


def test_names_that_the_proxy_leaves_open_are_not_resolved(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = acl("from localhost; accept; plug-to [192.0.2.53] : 53; timeout in 1;", proxy="cfg-resolution no;")
    file.write_text(rule)
    arguments = ["-r", "-f", str(file), "-t", "test from [127.0.0.1];"]
    assert main(arguments) == 2
    written = capsys.readouterr()
    assert written.out.endswith("NAME=<NULL> REJECTED UNRESOLVED=localhost\n")
    assert "names stay unresolved, as in the proxy" in written.err
    file.write_text(rule.replace("cfg-resolution no;", ""))
    assert main(arguments) == 0


def test_the_name_of_an_address_is_looked_up_with_r(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(acl("from /^localhost$/; accept; plug-to [127.0.0.1] : 53; timeout in 1;"))
    arguments = ["-f", str(file), "-t", "test from [127.0.0.1];"]
    assert main(arguments) == 2
    assert main([*arguments, "-r", "-d", "7"]) == 0
    assert "from localhost[127.0.0.1]: holds" in capsys.readouterr().err


@requires_program("strace")
def test_no_socket_is_opened_without_r(file: Path) -> None:
    file.write_text(acl("from host.example; accept; plug-to ns.example : 5300; timeout in 1;"))
    strace = find_program("strace")
    assert strace is not None
    command = [strace, "-f", "-e", "trace=socket", "-qq", sys.executable, "-m", "proxyd.cli.test_udp", "-f", str(file)]
    ran = subprocess.run([*command, "-t", "test;"], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 2
    assert "socket(" not in ran.stderr


@requires_root
def test_no_privileges_are_needed() -> None:
    # Not in tmp_path, which only its owner may enter.
    file = Path(tempfile.mkdtemp()) / "t.cfg"
    file.parent.chmod(0o755)
    file.write_text(config(listen="transparent [0.0.0.0] port 53; non-transparent [192.0.2.1] port 53;"))
    script = (
        # Imported first: the interpreter itself may lie where only root may look.
        "import os, sys; from proxyd.cli.test_udp import main;"
        f" os.setgroups([]); os.setgid({UNPRIVILEGED}); os.setuid({UNPRIVILEGED});"
        f" sys.exit(main(['-v']) or main(['-f', {str(file)!r}]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=Path(__file__).parents[3],
    )
    shutil.rmtree(file.parent)
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "configuration OK"), ran.stderr
    assert VERSION_TAG in ran.stdout

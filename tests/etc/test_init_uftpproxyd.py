"""/etc/init.d/uftpproxyd: every action, twice, with what may lie in its way, and its exit statuses. Source: LSB 5.0."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.etc.host import Host
from tests.kit.installed import PROXYCTL, UDP_PROXY, requires_installed
from tests.kit.requirement import requires_namespaces, requires_program
from tests.kit.variants import later

SCRIPT = "uftpproxyd"
DAEMON = UDP_PROXY.with_name("uftpproxyd")
PIDFILE = "/run/uftpproxyd-one.pid"
OPTIONS = "-c -I lo -O lo -U 0x0000c0c0 -p {port} -L /run/{name}.log --workers 1"

pytestmark = [requires_installed, requires_program("start-stop-daemon", "flock")]


def defaults(*names: str, options: str = OPTIONS) -> str:
    lines = [f"DAEMON={DAEMON}", f"CONTROLLER={PROXYCTL}", f'INSTANCES="{" ".join(names)}"']
    lines += [f'OPTIONS_{name}="{options.format(name=name, port=port)}"' for port, name in enumerate(names, 7001)]
    return "\n".join(lines)


def configure(host: Host, *names: str, options: str = OPTIONS) -> None:
    host.write(f"/etc/default/{SCRIPT}", defaults(*names, options=options))


@pytest.fixture
def service(host: Host) -> Host:
    """A host with the script, and one proxy configured."""
    host.install(SCRIPT, defaults("one"))
    return host


def pid_of(host: Host, pidfile: str = PIDFILE) -> int:
    return int(host.read(pidfile))


def title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def succeeds(host: Host, *words: str) -> str:
    status, output = host.service(SCRIPT, *words)
    assert status == 0, output
    return output


@requires_namespaces
def test_start_stop_and_status_twice_each(service: Host) -> None:
    assert service.service(SCRIPT, "status")[0] == 3
    assert "OK" not in succeeds(service, "start")
    first = pid_of(service)
    assert title(first).startswith("uftpproxyd: parent")
    assert "already runs" in succeeds(service, "start")
    assert pid_of(service) == first
    assert f"one runs as process {first}" in succeeds(service, "status")
    assert service.run("test", "-S", "/run/uftpproxyd-one.ctl").returncode == 0
    succeeds(service, "stop")
    assert not service.running(first)
    succeeds(service, "stop")
    assert service.service(SCRIPT, "status")[0] == 3


@requires_namespaces
def test_restart_replaces_what_runs_and_reload_leaves_it(service: Host) -> None:
    for action in ("reload", "force-reload"):
        status, output = service.service(SCRIPT, action)
        assert status == 7
        assert "one does not run" in output
    succeeds(service, "try-restart")
    assert service.service(SCRIPT, "status")[0] == 3
    succeeds(service, "restart")
    first = pid_of(service)
    for action in ("reload", "force-reload"):
        succeeds(service, action)
    assert pid_of(service) == first
    succeeds(service, "try-restart")
    assert pid_of(service) != first


@requires_namespaces
@pytest.mark.parametrize("content", ["999999999\n", later(""), later("nonsense\n")])
def test_a_stale_pidfile_is_told_and_replaced(service: Host, content: str) -> None:
    service.write(PIDFILE, content)
    assert service.service(SCRIPT, "status")[0] == 1
    succeeds(service, "start")
    assert title(pid_of(service)).startswith("uftpproxyd: parent")


@requires_namespaces
@pytest.mark.parametrize("action", ["stop", later("restart")])
def test_a_pidfile_that_names_somebody_else_never_costs_him_his_life(service: Host, action: str) -> None:
    configure(service, "one", "two")
    succeeds(service, "start", "two")
    bystander = pid_of(service, "/run/uftpproxyd-two.pid")
    service.write(PIDFILE, f"{bystander}\n")
    assert service.service(SCRIPT, "status", "one")[0] == 1
    succeeds(service, action, "one")
    assert service.running(bystander)


@requires_namespaces
def test_a_pidfile_that_was_overwritten_is_unclear_and_nobody_is_ended(service: Host) -> None:
    succeeds(service, "start")
    first = pid_of(service)
    service.write(PIDFILE, "1\n")
    assert service.service(SCRIPT, "status")[0] == 4
    for action in ("stop", "restart", "start"):
        assert service.service(SCRIPT, action)[0] == 1
    assert service.running(first)


@requires_namespaces
def test_errors_in_the_options_are_told_and_leave_what_runs_as_it_is(service: Host) -> None:
    succeeds(service, "start")
    first = pid_of(service)
    for options, words, actions in (
        ("-c -t 0", "wanted a number from 1 to 255", ("restart", "reload")),
        ("-c -I lo -d", "foreground", ("force-reload",)),
        ("", "no options", ("restart", "reload", "force-reload")),
    ):
        configure(service, "one", options=options)
        for action in actions:
            status, output = service.service(SCRIPT, action)
            assert (status, words in output) == (6, True), (action, output)
    assert service.running(first)


@requires_namespaces
def test_several_instances_run_beside_each_other(service: Host) -> None:
    configure(service, "one", "two")
    succeeds(service, "start")
    assert succeeds(service, "status").count("runs as process") == 2
    succeeds(service, "stop", "one")
    assert service.service(SCRIPT, "status")[0] == 3
    succeeds(service, "status", "two")


@requires_namespaces
def test_a_link_is_for_its_instance_alone_with_options_of_its_own(service: Host) -> None:
    service.run("ln", "-s", SCRIPT, "/etc/init.d/uftpproxyd.east-1")
    options = OPTIONS.format(name="east", port=7009)
    service.write("/etc/default/uftpproxyd.east-1", f'OPTIONS="{options}"\n')
    assert service.service("uftpproxyd.east-1", "start")[0] == 0
    assert title(pid_of(service, "/run/uftpproxyd-east-1.pid")).startswith("uftpproxyd: parent")
    assert service.service(SCRIPT, "status")[0] == 3


@requires_namespaces
def test_what_is_not_installed_or_configured_or_permitted_has_its_status(service: Host) -> None:
    assert service.service(SCRIPT, "dance")[0] == 2
    assert service.service(SCRIPT, "start", "three")[0] == 6
    assert service.service(SCRIPT, "start", "x;id")[0] == 6
    assert service.run("setpriv", "--reuid=nobody", f"/etc/init.d/{SCRIPT}", "start").returncode == 4
    service.write(f"/etc/default/{SCRIPT}", f"DAEMON={DAEMON}\n")
    assert service.service(SCRIPT, "start")[0] == 6
    assert service.service(SCRIPT, "stop")[0] == 0
    service.write(f"/etc/default/{SCRIPT}", "DAEMON=/nowhere\n")
    assert service.service(SCRIPT, "start")[0] == 5

"""/etc/init.d/udp-proxy: every action, twice, with what may lie in its way, and its exit statuses. Source: LSB 5.0."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.etc.host import CONFIGURATION, Host
from tests.kit.installed import PROXYCTL, TEST_UDP, UDP_PROXY, requires_installed
from tests.kit.requirement import requires_namespaces, requires_program
from tests.kit.variants import later

SCRIPT = "udp-proxy"
PIDFILE = "/run/udp-proxy-one.pid"

pytestmark = [requires_installed, requires_program("start-stop-daemon", "flock")]


def configure(host: Host, name: str = "one", port: int = 7001, items: str = "") -> None:
    host.write(f"/etc/udp-proxy/{name}.cfg", CONFIGURATION.format(name=name, port=port, items=items))


@pytest.fixture
def service(host: Host) -> Host:
    """A host with the script, and one proxy configured."""
    host.install(SCRIPT, f"DAEMON={UDP_PROXY}\nTESTER={TEST_UDP}\nCONTROLLER={PROXYCTL}")
    configure(host)
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
    assert "one" in succeeds(service, "start")
    first = pid_of(service)
    assert title(first).startswith("udp-proxy: parent one")
    assert "already runs" in succeeds(service, "start")
    assert pid_of(service) == first
    assert f"one runs as process {first}" in succeeds(service, "status")
    succeeds(service, "stop")
    assert not service.running(first)
    assert service.read(PIDFILE) == ""
    succeeds(service, "stop")
    assert service.service(SCRIPT, "status")[0] == 3


@requires_namespaces
def test_restart_starts_what_is_stopped_and_try_restart_does_not_and_both_replace_what_runs(service: Host) -> None:
    succeeds(service, "try-restart")
    assert service.service(SCRIPT, "status")[0] == 3
    succeeds(service, "restart")
    for action in ("restart", "try-restart"):
        before = pid_of(service)
        succeeds(service, action)
        assert pid_of(service) != before
        assert not service.running(before)


@requires_namespaces
@pytest.mark.parametrize("action", ["reload", later("force-reload")])
def test_reload_reaches_the_parent_and_needs_one_that_runs(service: Host, action: str) -> None:
    assert service.service(SCRIPT, action)[0] == 7
    succeeds(service, "start")
    first = pid_of(service)
    succeeds(service, action)
    # What the running proxy refuses has failed, and leaves nothing behind.
    configure(service, items="app-user nobody;")
    status, said = service.service(SCRIPT, action)
    assert (status, "'app-user' cannot change" in said) == (1, True), said
    configure(service)
    succeeds(service, action)
    assert pid_of(service) == first
    succeeds(service, "status")


@requires_namespaces
@pytest.mark.parametrize("content", ["999999999\n", later(""), later("nonsense\n")])
def test_a_stale_pidfile_is_told_removed_by_stop_and_replaced_by_start(service: Host, content: str) -> None:
    service.write(PIDFILE, content)
    assert service.service(SCRIPT, "status")[0] == 1
    assert service.service(SCRIPT, "reload")[0] == 7
    succeeds(service, "stop")
    assert service.service(SCRIPT, "status")[0] == 3
    service.write(PIDFILE, content)
    succeeds(service, "start")
    assert title(pid_of(service)).startswith("udp-proxy: parent one")


@requires_namespaces
@pytest.mark.parametrize("actions", [("stop", "reload"), later(("restart",)), later(("start",))])
def test_a_pidfile_that_names_somebody_else_never_costs_him_his_life(service: Host, actions: tuple[str, ...]) -> None:
    configure(service, "two", 7002)
    succeeds(service, "start", "two")
    bystander = pid_of(service, "/run/udp-proxy-two.pid")
    # Even a udp-proxy: the number has been given anew since its owner was killed.
    for action in actions:
        service.write(PIDFILE, f"{bystander}\n")
        assert service.service(SCRIPT, "status", "one")[0] == 1
        service.service(SCRIPT, action, "one")
        assert title(bystander).startswith("udp-proxy: parent two")
        if action in {"start", "restart"}:
            assert pid_of(service) != bystander
            assert title(pid_of(service)).startswith("udp-proxy: parent one")


@requires_namespaces
@pytest.mark.parametrize("action", ["stop", later("restart"), later("start")])
def test_a_pidfile_that_was_overwritten_is_unclear_and_nobody_is_ended(service: Host, action: str) -> None:
    succeeds(service, "start")
    first = pid_of(service)
    sleeper = int(service.run("sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!").stdout)
    service.write(PIDFILE, f"{sleeper}\n")
    assert service.service(SCRIPT, "status")[0] == 4
    status, output = service.service(SCRIPT, action)
    assert status == 1
    assert "does not name the process that holds it" in output
    assert service.running(first)
    assert service.running(sleeper)


@requires_namespaces
def test_a_killed_proxy_is_told_as_dead_and_started_again(service: Host) -> None:
    succeeds(service, "start")
    first = pid_of(service)
    service.kill(first)
    assert service.service(SCRIPT, "status")[0] == 1
    succeeds(service, "start")
    assert pid_of(service) != first


@requires_namespaces
def test_errors_in_the_configuration_are_told_and_leave_what_runs_as_it_is(service: Host) -> None:
    succeeds(service, "start")
    first = pid_of(service)
    service.write("/etc/udp-proxy/one.cfg", "udp-proxy one { nonsense; }\n")
    for action in ("restart", "reload", "force-reload", "start"):
        if action == "start":
            succeeds(service, "stop")
        status, output = service.service(SCRIPT, action)
        assert (status, "/etc/udp-proxy/one.cfg:1:" in output) == (6, True), (action, output)
        assert service.running(first) is (action != "start")


@requires_namespaces
def test_a_proxy_that_would_stay_in_the_foreground_is_refused(service: Host) -> None:
    configure(service, items="nodaemon;")
    status, output = service.service(SCRIPT, "start")
    assert status == 6
    assert "'nodaemon' in /etc/udp-proxy/one.cfg" in output


@requires_namespaces
def test_a_start_that_fails_is_a_failure(service: Host) -> None:
    configure(service, "two")
    status, output = service.service(SCRIPT, "start")
    assert status == 1
    assert "Address already in use" in output
    succeeds(service, "status", "one")
    assert service.service(SCRIPT, "status", "two")[0] == 3


@requires_namespaces
def test_all_configurations_are_instances_unless_the_defaults_name_some(service: Host) -> None:
    configure(service, "two", 7002)
    succeeds(service, "start")
    assert succeeds(service, "status").count("runs as process") == 2
    succeeds(service, "stop", "two")
    assert "two" not in service.read("/run/udp-proxy-two.pid")
    assert service.service(SCRIPT, "status")[0] == 3
    service.write(f"/etc/default/{SCRIPT}", service.read(f"/etc/default/{SCRIPT}") + "INSTANCES=one\n")
    assert "two" not in succeeds(service, "status")


@requires_namespaces
def test_a_link_is_for_its_instance_alone(service: Host) -> None:
    configure(service, "two", 7002)
    service.run("ln", "-s", "udp-proxy", "/etc/init.d/udp-proxy.two")
    service.run("mkdir", "-p", "/etc/rc2.d")
    service.run("ln", "-sf", "../init.d/udp-proxy.two", "/etc/rc2.d/S03udp-proxy.two")
    assert service.run("/etc/rc2.d/S03udp-proxy.two", "start").returncode == 0
    assert service.service("udp-proxy.two", "status")[0] == 0
    assert service.service(SCRIPT, "status", "one")[0] == 3
    service.write("/etc/default/udp-proxy.two", "DAEMON=/nowhere\n")
    assert service.service("udp-proxy.two", "start")[0] == 5
    assert service.service("udp-proxy.two", "stop")[0] == 0


@requires_namespaces
def test_what_is_not_installed_or_configured_or_permitted_has_its_status(service: Host) -> None:
    assert service.service(SCRIPT)[0] == 2
    assert service.service(SCRIPT, "dance")[0] == 2
    assert service.service(SCRIPT, "start", "three")[0] == 6
    nobody = service.run("setpriv", "--reuid=nobody", "/etc/init.d/udp-proxy", "start")
    assert nobody.returncode == 4
    service.run("rm", "/etc/udp-proxy/one.cfg")
    assert service.service(SCRIPT, "start")[0] == 6
    assert service.service(SCRIPT, "status")[0] == 3
    assert service.service(SCRIPT, "stop")[0] == 0
    service.write(f"/etc/default/{SCRIPT}", "DAEMON=/nowhere\n")
    assert service.service(SCRIPT, "start")[0] == 5

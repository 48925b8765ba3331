"""What a configuration needs, what is missing, and what the parent keeps."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from proxyd.daemon import capabilities
from proxyd.daemon.capabilities import KEPT
from proxyd.daemon.demands import Capability, Need
from tests.kit.requirement import requires_root
from tests.workers.forked import in_child
from workers.contract.settings import AclSettings, Address, ListenerSettings, Settings, SourceAddress

LOOPBACK = Address(4, 127 << 24 | 1)


def settings(port: int, *, transparent: bool = False, chroot_dir: str | None = None) -> Settings:
    listener = ListenerSettings(LOOPBACK, port, transparent)
    return Settings("TEST", (listener,), 10, 1, (), chroot_dir=chroot_dir)


def kernel_says(name: str) -> int:
    found = re.search(rf"^{name}:\s*(\S+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1], 16)


def test_an_ordinary_configuration_needs_nothing() -> None:
    assert capabilities.needs(settings(5300), changes_user=False) == []


@pytest.mark.parametrize(
    ("wanted", "changes_user", "names"),
    [
        (settings(53), False, ["CAP_NET_BIND_SERVICE"]),
        (settings(5300, transparent=True), False, ["CAP_NET_RAW"]),
        (settings(5300), True, ["CAP_SETUID", "CAP_SETGID", "CAP_KILL"]),
        (settings(5300, chroot_dir="/var/empty"), False, ["CAP_SYS_CHROOT"]),
    ],
)
def test_each_privileged_wish_needs_its_capability(wanted: Settings, changes_user: bool, names: list[str]) -> None:
    assert [need.capability.name for need in capabilities.needs(wanted, changes_user)] == names


def test_every_missing_capability_is_named_with_its_purpose() -> None:
    def act() -> None:
        capabilities.drop_all_but(frozenset())
        capabilities.require([Need(Capability.CAP_SETUID, "app-user"), Need(Capability.CAP_NET_RAW, "a listener")])

    said = "CAP_SETUID is needed for app-user, CAP_NET_RAW is needed for a listener"
    give = (
        "start it as root, by systemd with AmbientCapabilities=CAP_NET_RAW CAP_SETUID, "
        "or by setpriv --inh-caps +net_raw,+setuid --ambient-caps +net_raw,+setuid"
    )
    assert in_child(act) == f"SetupError: check capabilities: {said}; {give}"


HELD = KEPT & capabilities.held()
"""A machine need not give root everything."""


@requires_root
def test_what_is_held_is_not_missing() -> None:
    capabilities.require([Need(Capability(number), "a test") for number in HELD])


@requires_root
def test_the_parent_keeps_what_replacements_need_and_nothing_else_in_any_set() -> None:
    def act() -> list[bool]:
        capabilities.drop_all_but()
        mask = sum(1 << capability for capability in HELD)
        kept = [kernel_says(f"Cap{name}") == mask for name in ("Eff", "Prm", "Bnd")]
        return [*kept, kernel_says("CapInh") == 0, kernel_says("CapAmb") == 0, capabilities.held() == HELD]

    assert in_child(act) == str([True] * 6)


@requires_root
def test_the_parent_keeps_what_its_workers_keep() -> None:
    def act() -> bool:
        capabilities.drop_all_but({Capability.CAP_SETPCAP, Capability.CAP_NET_RAW})
        return capabilities.held() == {Capability.CAP_SETPCAP, Capability.CAP_NET_RAW}

    assert in_child(act) == "True"


def test_one_who_holds_nothing_can_drop_everything() -> None:
    def act() -> object:
        capabilities.drop_all_but(frozenset())
        capabilities.drop_all_but()
        return sorted(capabilities.held())

    assert in_child(act) == "[]"


def test_workers_keep_nothing_for_an_ordinary_configuration_and_not_what_only_the_start_needs() -> None:
    for wanted in (settings(5300), settings(53), settings(5300, transparent=True)):
        assert capabilities.kept_by_workers(wanted) == frozenset()


def test_workers_keep_what_sessions_to_come_need() -> None:
    acl = AclSettings("A", True, source_address=SourceAddress(client=True))
    wanted = replace(settings(5300), acls=(acl,))
    assert capabilities.kept_by_workers(wanted) == {Capability.CAP_NET_RAW}
    assert [need.capability for need in capabilities.needs(wanted, False)] == [Capability.CAP_NET_RAW]


@requires_root
def test_what_is_held_is_passed_on_to_a_program_that_is_not_root_s() -> None:
    kept = frozenset((Capability.CAP_NET_BIND_SERVICE, Capability.CAP_NET_ADMIN))

    def act() -> str:
        capabilities.drop_all_but(kept)
        capabilities.pass_on()
        return f"{kernel_says('CapInh'):x} {kernel_says('CapAmb'):x} {kernel_says('CapPrm'):x}"

    mask = sum(1 << capability for capability in kept)
    assert in_child(act) == f"{mask:x} {mask:x} {mask:x}"

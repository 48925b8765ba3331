"""The parent's capabilities: which a configuration needs, which of them are missing, which are kept while it runs.

Kept, because a child may have to be replaced at any time: CAP_SETUID, CAP_SETGID, CAP_SYS_CHROOT and CAP_SETPCAP, by
which the child gives up its own; CAP_KILL, to end a child that is another user by then; and what workers keep, because
a replacement must have it too. Kept, because a reload may bring any configuration: CAP_NET_BIND_SERVICE for low ports,
CAP_NET_RAW for transparent listeners, CAP_NET_ADMIN for large socket buffers, CAP_CHOWN for ports that workers share
with listeners, CAP_SYS_RESOURCE for more open files, CAP_DAC_READ_SEARCH to read the configuration and what it names
wherever the first start could, and CAP_DAC_OVERRIDE to roll logs and open them again in directories of other users,
where the first start could: by CAP_SETUID and CAP_CHOWN the parent could write there anyhow. The parent reads no
datagram, and a child has of these what it needs alone. Kept where the kernel carries sessions (proxyd.offload):
CAP_BPF, for interfaces that come later and for the program that takes over. Everything else is dropped for good.
Source: capabilities(7), capset(2), prctl(2); linux/capability.h.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

from proxyd.daemon import demands
from proxyd.daemon.demands import Capability, Need
from proxyd.errors import SetupError
from workers.contract.settings import Settings

KEPT: frozenset[int] = frozenset(
    (
        Capability.CAP_KILL,
        Capability.CAP_SETGID,
        Capability.CAP_SETUID,
        Capability.CAP_SETPCAP,
        Capability.CAP_SYS_CHROOT,
        Capability.CAP_NET_BIND_SERVICE,
        Capability.CAP_NET_RAW,
        Capability.CAP_NET_ADMIN,
        Capability.CAP_CHOWN,
        Capability.CAP_SYS_RESOURCE,
        Capability.CAP_DAC_OVERRIDE,
        Capability.CAP_DAC_READ_SEARCH,
    )
)
CARRYING: frozenset[int] = frozenset((Capability.CAP_BPF,))
_VERSION_3 = 0x2008_0522
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_UNPRIVILEGED_PORT = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


_libc = ctypes.CDLL(None, use_errno=True)
_capget = _libc.capget
_capget.argtypes = (ctypes.POINTER(_Header), ctypes.POINTER(_Data))
_capget.restype = ctypes.c_int
_capset = _libc.capset
_capset.argtypes = (ctypes.POINTER(_Header), ctypes.POINTER(_Data))
_capset.restype = ctypes.c_int
_prctl = _libc.prctl
_prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
_prctl.restype = ctypes.c_int


def held() -> frozenset[int]:
    """Return the numbers of the capabilities that this process can use."""
    data = (_Data * 2)()
    _check("capget", _capget(ctypes.byref(_Header(_VERSION_3, 0)), data))
    effective = data[0].effective | data[1].effective << 32
    return frozenset(number for number in range(64) if effective >> number & 1)


def needs(settings: Settings, changes_user: bool) -> list[Need]:
    """Return what the configuration needs beyond an ordinary user's rights. changes_user: children get other ids."""
    first_free = first_free_port()
    found = demands.of_listeners(settings, first_free) + demands.of_workers(settings, first_free)
    if changes_user:
        # CAP_KILL: the children are somebody else by the time they are to be ended.
        capabilities = (Capability.CAP_SETUID, Capability.CAP_SETGID, Capability.CAP_KILL)
        found += [Need(capability, "app-user") for capability in capabilities]
    if settings.chroot_dir is not None:
        found.append(Need(Capability.CAP_SYS_CHROOT, "chroot-dir"))
    return found


def kept_by_workers(settings: Settings) -> frozenset[int]:
    """Return the capabilities that workers keep, because they need them with sessions to come."""
    return frozenset(int(need.capability) for need in demands.of_workers(settings, first_free_port()))


def first_free_port() -> int:
    """Return the lowest port that needs no capability. Source: ip(7), ip_unprivileged_port_start."""
    return int(_UNPRIVILEGED_PORT.read_text())


def require(wanted: list[Need]) -> None:
    """Raise SetupError naming every capability that is wanted and not held, and how to give it."""
    have = held()
    missing = [need for need in wanted if need.capability not in have]
    if missing:
        names = ", ".join(f"{need.capability.name} is needed for {need.purpose}" for need in missing)
        raise SetupError("check capabilities", f"{names}; {_how_to_give(need.capability for need in missing)}")


def _how_to_give(missing: Iterable[Capability]) -> str:
    names = sorted({capability.name for capability in missing})
    short = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in names)
    return (
        f"start it as root, by systemd with AmbientCapabilities={' '.join(names)}, "
        f"or by setpriv --inh-caps {short} --ambient-caps {short}"
    )


def drop_all_but(kept: frozenset[int] = KEPT) -> None:
    """Drop every capability but these, of those held, from all sets. Raises SetupError when the kernel refuses."""
    have = held()
    if Capability.CAP_SETPCAP in have:
        _drop_bounding(kept)
    mask = sum(1 << capability for capability in kept if capability in have)
    data = (_Data * 2)(_Data(mask & 0xFFFF_FFFF, mask & 0xFFFF_FFFF, 0), _Data(mask >> 32, mask >> 32, 0))
    _check("capset", _capset(ctypes.byref(_Header(_VERSION_3, 0)), data))
    _check("prctl", _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))


def pass_on() -> None:
    """Let the program that this process is about to become have what this one holds, also where it is not root's.

    Raises SetupError when the kernel refuses.
    """
    have = held()
    mask = sum(1 << capability for capability in have)
    low, high = mask & 0xFFFF_FFFF, mask >> 32
    data = (_Data * 2)(_Data(low, low, low), _Data(high, high, high))
    _check("capset", _capset(ctypes.byref(_Header(_VERSION_3, 0)), data))
    for capability in have:
        _check("prctl", _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0))


def _drop_bounding(kept: frozenset[int]) -> None:
    capability = 0
    while (state := _prctl(_PR_CAPBSET_READ, capability, 0, 0, 0)) >= 0:
        if state and capability not in kept:
            _check("prctl", _prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0))
        capability += 1


def _check(call: str, result: int) -> None:
    if result < 0:
        raise SetupError(f"drop capabilities: {call}", os.strerror(ctypes.get_errno()))

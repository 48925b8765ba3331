"""From a command line to settings: names become addresses, defaults are filled in, contradictions are refused.

Source: uftpproxyd(8); the IP version of the socket: observed, 4.10.2.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proxyd.errors import SetupError
from proxyd.uftp import hosts, lists
from proxyd.uftp.hosts import Host
from proxyd.uftp.interfaces import Entry, default_out, default_uid, find_interface, one_each, usable
from proxyd.uftp.options import CommandLine, OptionError, parse_monitor
from workers.contract.settings import Address, ControlSettings, ListenerSettings, LogSettings, Settings
from workers.contract.uftp import HeartbeatSettings, Interface, Mode, UftpSettings

PROGRAM = "uftpproxyd"
DEFAULT_GROUP = "230.4.4.1"
_BY_FINGERPRINT = "fp="
_MEGABYTE = 1_000_000
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Peers:
    """What the command line's hosts came to. targets: of heartbeats, with their ports."""

    downstream: Host | None
    fingerprint: bytes | None
    groups: tuple[Host, ...]
    targets: tuple[tuple[Host, int], ...]


def compile_settings(line: CommandLine, entries: Sequence[Entry]) -> UftpSettings:
    """Return the proxy's settings, without keys. entries: the interfaces of this host.

    Raises OptionError for what the command line has wrong, SetupError when no interface can be used.
    """
    mode = _mode(line)
    listed = tuple(_named("-I", text, entries) for text in line.interfaces)
    out = None if line.out_interface is None else _named("-O", line.out_interface, entries)
    peers = _look_up_peers(line, mode)
    version = _version(mode, out, peers)
    if out is None or out.version != version:
        out = default_out(entries if out is None else [e for e in entries if _same_interface(e, out)], version)
    if out is None:
        raise SetupError("bind", f"no interface with an IPv{version} address is up")
    here = listed or usable(entries)
    port, target_port = line.port, line.port if mode is Mode.RESPONSE else line.target_port or 1044
    source_specific = line.server_list is not None and mode is not Mode.CLIENT
    if source_specific:
        _check_source_specific(line, peers)
    interfaces = () if mode is Mode.CLIENT else one_each(here, version)
    groups = _heard(peers.groups, interfaces, named=bool(line.groups))
    uid = line.uid or default_uid(here)
    if not uid:
        raise SetupError("choose a UID", "no interface with an address is up; start later, or with -U")
    return UftpSettings(
        mode=mode,
        uid=uid,
        version=version,
        port=port,
        target_port=target_port,
        own=hosts.raw(Host(out.interface.address, _scope(out)), port, version),
        out_interface=out.interface,
        interfaces=interfaces,
        public_groups=tuple(hosts.raw(group, target_port, version) for group in groups),
        downstream=None if peers.downstream is None else hosts.raw(peers.downstream, target_port, version),
        downstream_fingerprint=peers.fingerprint,
        servers=None if line.server_list is None else lists.read_servers(line.server_list, _address),
        clients=None if line.client_list is None else lists.read_clients(line.client_list),
        source_specific=source_specific,
        compat_lists=line.compat_lists,
        open_upstream=line.open_upstream,
        heartbeats=HeartbeatSettings(
            tuple(hosts.raw(host, target, version) for host, target in peers.targets), line.heartbeat_s * _SECOND_NS
        ),
        ttl=line.ttl,
        dscp=line.dscp,
        buffer_bytes=line.buffer_bytes,
        max_groups=line.max_groups,
        max_clients=line.max_clients,
        log_level=line.level,
    )


def compile_frame(line: CommandLine, settings: UftpSettings) -> Settings:
    """Return what the frame of parent and workers needs to know; it has no rules, sessions are groups there."""
    user, _, group = (line.user or "").partition(":")
    rolls = line.roll_mb is not None
    return Settings(
        name=settings.mode.value,
        listeners=(ListenerSettings(Address(settings.version, 0), settings.port),),
        max_sessions=settings.max_groups,
        workers=1 if line.single_process else line.workers or len(os.sched_getaffinity(0)),
        acls=(),
        single_process=line.single_process,
        foreground=line.foreground,
        app_user=user or None,
        app_group=group or None,
        chroot_dir=line.chroot,
        debug_log=LogSettings(
            level=settings.log_level + 4,
            file=None if line.foreground else _from_root(line.log_file),
            rotate_bytes=line.roll_mb * _MEGABYTE if line.roll_mb is not None else None,
            rotate_count=line.roll_count if rolls else 0,
            json=line.log_format == "json",
        ),
        program=PROGRAM,
        monitor=None if line.monitor is None else parse_monitor(line.monitor),
        control=None if line.control is None else ControlSettings(_from_root(line.control)),
    )


def _from_root(path: str) -> str:
    """Return a path as the daemon sees it, whose directory is /."""
    return str(Path("/") / path)


def _mode(line: CommandLine) -> Mode:
    if line.server is not None:
        return Mode.SERVER
    return Mode.CLIENT if line.client else Mode.RESPONSE


def _named(flag: str, text: str, entries: Sequence[Entry]) -> Entry:
    try:
        return find_interface(text, entries)
    except OptionError as error:
        raise OptionError(f"{flag}: {error}") from error


def _look_up_peers(line: CommandLine, mode: Mode) -> _Peers:
    downstream, fingerprint = None, None
    if line.server is not None:
        if line.server.startswith(_BY_FINGERPRINT):
            fingerprint = lists.parse_fingerprint(line.server.removeprefix(_BY_FINGERPRINT))
        else:
            downstream = hosts.look_up(line.server)
    words = () if mode is Mode.CLIENT else line.groups or (DEFAULT_GROUP,)
    targets = tuple(map(hosts.look_up_with_port, line.heartbeat_hosts))
    return _Peers(downstream, fingerprint, tuple(dict.fromkeys(map(hosts.look_up_group, words))), targets)


def _version(mode: Mode, out: Entry | None, peers: _Peers) -> int:
    """Return the IP version of the socket: IPv6 where anything is IPv6 that it talks to."""
    found = [host.address.version for host, _ in peers.targets] if mode is Mode.CLIENT else []
    found += [group.address.version for group in peers.groups]
    if mode is Mode.CLIENT and out is not None:
        found.append(out.version)
    if peers.downstream is not None:
        found.append(peers.downstream.address.version)
    return max(found, default=4)


def _check_source_specific(line: CommandLine, peers: _Peers) -> None:
    for group in peers.groups:
        if not (line.groups and hosts.is_source_specific(group.address)):
            text = str(group.address)
            raise OptionError(f"-S: found the public group {text}; wanted -M with addresses of 232/8 or ff30::/96")


def _heard(groups: Sequence[Host], interfaces: Sequence[Interface], *, named: bool) -> tuple[Host, ...]:
    """Return the groups that can be joined: all that are named; a proxy within a chain can do without the usual one."""
    versions = {interface.address.version for interface in interfaces}
    heard = tuple(group for group in groups if group.address.version in versions)
    if named and len(heard) < len(groups):
        missing = next(group.address for group in groups if group not in heard)
        raise SetupError(f"join {missing}", f"no interface listened to has an IPv{missing.version} address")
    return heard


def _same_interface(entry: Entry, other: Entry) -> bool:
    return entry.interface.number == other.interface.number


def _scope(entry: Entry) -> int:
    return entry.interface.number if entry.link_local else 0


def _address(text: str) -> Address:
    return hosts.look_up(text).address

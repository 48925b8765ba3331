"""Hosts with the interfaces and addresses that a page of documentation gives them: a network namespace a host, a bridge
a network. Nothing routes but what is told to, and nothing snoops on multicast.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Mapping
from types import TracebackType
from typing import NamedTuple, TypeAlias

from tests.kit.place import Namespace

_numbers = itertools.count(1)


class Plug(NamedTuple):
    """One interface: the network it is on, its address with prefix length, "" for none."""

    network: str
    address: str = ""


Interfaces: TypeAlias = Mapping[str, Plug]


class Town:
    """The hosts, from entering to leaving. hosts: {host: {interface: its plug}}; gateways: {host: default route}."""

    def __init__(self, hosts: Mapping[str, Interfaces], gateways: Mapping[str, str] | None = None) -> None:
        self._name = f"pxd-{os.getpid()}-{next(_numbers)}-town"
        self._hosts = hosts
        self._gateways = gateways or {}
        self._spaces: dict[str, Namespace] = {}
        self._cleanup = contextlib.ExitStack()

    def __getitem__(self, host: str) -> Namespace:
        return self._spaces[host]

    def __enter__(self) -> Town:
        with self._cleanup:
            switch = self._make("switch")
            bridges = {plug.network for plugs in self._hosts.values() for plug in plugs.values()}
            for bridge in sorted(bridges):
                switch.configure(
                    [
                        f"link add br-{bridge} type bridge mcast_snooping 0",
                        f"link set dev br-{bridge} addrgenmode none up",
                    ]
                )
            numbers = itertools.count(1)
            for host, plugs in self._hosts.items():
                self._spaces[host] = self._make(host)
                for interface, plug in plugs.items():
                    self._connect(switch, f"plug{next(numbers)}", host, interface, plug)
                if host in self._gateways:
                    self._spaces[host].configure([f"route add default via {self._gateways[host]}"])
            self._cleanup = self._cleanup.pop_all()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._cleanup.close()
        self._spaces.clear()

    def _make(self, name: str) -> Namespace:
        space = Namespace(f"{self._name}-{name}")
        self._cleanup.callback(space.close)
        space.make()
        return space

    def _connect(self, switch: Namespace, end: str, host: str, interface: str, plug: Plug) -> None:
        space = self._spaces[host]
        switch.configure(
            [
                f"link add {end} type veth peer name {interface} netns {space.name}",
                f"link set dev {end} addrgenmode none master br-{plug.network} up",
            ]
        )
        addresses = [f"addr add {plug.address} brd + dev {interface}"] if plug.address else []
        space.configure([*addresses, f"link set dev {interface} up"])

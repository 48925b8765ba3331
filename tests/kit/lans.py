"""Stations on LANs: a network namespace a station, a bridge a LAN, for protocols whose programs are many and multicast.

A station's address on LAN number n is 10.99.n.x and fd99:n::x, its interface there is called `lan` and the number.
Nothing routes between LANs, and nothing snoops on multicast.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Mapping
from types import TracebackType

from tests.kit.place import Namespace

_numbers = itertools.count(1)


class Lans:
    """stations: where each is, as {name: {LAN number: host number}}; they exist from entering to leaving."""

    def __init__(self, stations: Mapping[str, Mapping[int, int]]) -> None:
        self._name = f"pxl-{os.getpid()}-{next(_numbers)}"
        self._stations = stations
        self._spaces: dict[str, Namespace] = {}
        self._cleanup = contextlib.ExitStack()

    def __getitem__(self, station: str) -> Namespace:
        return self._spaces[station]

    def address4(self, station: str, lan: int) -> str:
        """Return a station's IPv4 address on a LAN."""
        return f"10.99.{lan}.{self._stations[station][lan]}"

    def address6(self, station: str, lan: int) -> str:
        """Return a station's IPv6 address on a LAN."""
        return f"fd99:{lan}::{self._stations[station][lan]:x}"

    def _commands(self) -> Iterator[tuple[str, str, list[str]]]:
        for station, places in self._stations.items():
            for lan in places:
                plug = f"{station}-{lan}"
                yield (
                    station,
                    plug,
                    [
                        f"addr add {self.address4(station, lan)}/24 brd + dev lan{lan}",
                        f"addr add {self.address6(station, lan)}/64 dev lan{lan} nodad",
                        f"link set lan{lan} up",
                    ],
                )

    def __enter__(self) -> Lans:
        with self._cleanup:
            switch = self._make("switch")
            lans = sorted({lan for places in self._stations.values() for lan in places})
            switch.configure([f"link add br{lan} type bridge mcast_snooping 0" for lan in lans])
            switch.configure([f"link set br{lan} addrgenmode none up" for lan in lans])
            for station in self._stations:
                self._spaces[station] = self._make(station)
            for station, plug, commands in self._commands():
                lan, name = plug.rpartition("-")[2], self._spaces[station].name
                switch.configure(
                    [f"link add {plug} type veth peer name lan{lan} netns {name}", f"link set {plug} master br{lan} up"]
                )
                self._spaces[station].configure(commands)
            self._cleanup = self._cleanup.pop_all()
        return self

    def __exit__(self, _kind: type | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._cleanup.close()

    def _make(self, name: str) -> Namespace:
        space = Namespace(f"{self._name}-{name}")
        self._cleanup.callback(space.close)
        space.make()
        return space

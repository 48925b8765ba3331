"""A multicast router, for a network namespace of its own: python -m tests.kit.mroute FROM:TO,TO FROM:TO …

Whatever is multicast on the interface FROM is forwarded to the interfaces TO, as a router does that knows of members
there. Prints `routes`, then works until it is ended. Linux's own table does the forwarding; here it is only filled in.
Source: linux/mroute.h: MRT_INIT, vifctl, mfcctl, igmpmsg.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Mapping, Sequence

_MRT_INIT, _MRT_ADD_VIF, _MRT_ADD_MFC = 200, 202, 204
_VIFF_USE_IFINDEX = 0x8
_VIF = struct.Struct("=HBBIi4s")
_MFC = struct.Struct("=4s4sH32s2xIIIi")
_UPCALL = struct.Struct("=8sBBBB4s4s")
_NOCACHE = 1
_ANY = bytes(4)


def parse_routes(words: Sequence[str]) -> dict[str, list[str]]:
    """Return {interface: those it is forwarded to} of FROM:TO,TO words."""
    return {source: targets.split(",") for source, _, targets in (word.partition(":") for word in words)}


def serve(routes: Mapping[str, Sequence[str]]) -> None:
    """Forward until ended. The caller may administer this network."""
    names = sorted({*routes, *(target for targets in routes.values() for target in targets)})
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP) as sock:
        sock.setsockopt(socket.IPPROTO_IP, _MRT_INIT, 1)
        for number, name in enumerate(names):
            vif = _VIF.pack(number, _VIFF_USE_IFINDEX, 1, 0, socket.if_nametoindex(name), _ANY)
            sock.setsockopt(socket.IPPROTO_IP, _MRT_ADD_VIF, vif)
        print("routes", flush=True)
        while True:
            message = sock.recv(2048)
            _unused, kind, zero, number, _high, source, group = _UPCALL.unpack_from(message)
            if zero == 0 and kind == _NOCACHE and names[number] in routes:
                limits = bytearray(32)
                for target in routes[names[number]]:
                    limits[names.index(target)] = 1
                entry = _MFC.pack(source, group, number, bytes(limits), 0, 0, 0, 0)
                sock.setsockopt(socket.IPPROTO_IP, _MRT_ADD_MFC, entry)


if __name__ == "__main__":
    serve(parse_routes(sys.argv[1:]))

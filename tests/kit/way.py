"""Through the lab's proxy by IPv4 or IPv6: the addresses on the way, and sockets at both ends of it."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from tests.kit.lab import BACK, FRONT, PEER_HOST, PROXY_HOST, Lab
from tests.kit.place import Place

WAIT_S = 20.0


@dataclass(frozen=True)
class Way:
    """One IP version's addresses, from the client's to the server's. back: the proxy's own towards the server."""

    version: int
    client: str
    front: str
    back: str
    server: str

    @property
    def family(self) -> socket.AddressFamily:
        """The family of sockets on this way."""
        return socket.AF_INET6 if self.version == 6 else socket.AF_INET

    def listen(self, port: int) -> str:
        """Return the item of listen-on that listens where clients are."""
        return f"non-transparent [{self.front}] port {port};"

    def client_socket(self, lab: Lab, port: int) -> socket.socket:
        """Return a socket of the client, connected to the proxy's port; it waits 20 seconds at most."""
        return connected(lab.client, self.client, self.front, port)

    def server_socket(self, lab: Lab, port: int) -> socket.socket:
        """Return a socket of the server, bound to a port: a server under the test's own control."""
        sock = lab.server.socket(self.family)
        sock.settimeout(WAIT_S)
        sock.bind((self.server, port))
        return sock


def connected(place: Place, address: str, target: str, port: int) -> socket.socket:
    """Return a socket of a place, bound to an address of it and connected to a target's port."""
    sock = place.socket(socket.AF_INET6 if ":" in target else socket.AF_INET)
    sock.settimeout(WAIT_S)
    sock.bind((address, 0))
    sock.connect((target, port))
    return sock


def port_of(sock: socket.socket) -> int:
    """Return a socket's own port."""
    return int(sock.getsockname()[1])


WAYS = {
    4: Way(
        4, FRONT.address4(PEER_HOST), FRONT.address4(PROXY_HOST), BACK.address4(PROXY_HOST), BACK.address4(PEER_HOST)
    ),
    6: Way(
        6, FRONT.address6(PEER_HOST), FRONT.address6(PROXY_HOST), BACK.address6(PROXY_HOST), BACK.address6(PEER_HOST)
    ),
}
WAY4, WAY6 = WAYS[4], WAYS[6]

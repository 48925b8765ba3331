"""KEY_REQ and PROXY_KEY: a response proxy shows its keys to the clients that ask for them.

Source: UFTP 4.10.2, observed; the limit of one answer in five seconds, which its documents promise: ours.
"""

from __future__ import annotations

from workers.contract.uftp import DropReason, Mode
from workers.uftp.hashes import SHA1
from workers.uftp.header import Header
from workers.uftp.proxykey import ProxyKey
from workers.uftp.station import Station
from workers.uftp.timers import Ration

ANSWERS_A_SECOND = 0.2
NONCE_BYTES = 4


class ProxyKeys:
    """The answers to KEY_REQ; in a proxy of several workers, the first one's alone."""

    def __init__(self, station: Station, now_ns: int) -> None:
        self._station = station
        self._answers = Ration(ANSWERS_A_SECOND, 1, now_ns)

    def request(self, source: bytes, now_ns: int) -> None:
        """Multicast our keys on every public group; other modes have none to show."""
        station = self._station
        if station.mode is not Mode.RESPONSE:
            station.drop(DropReason.NOT_FOR_US)
            return
        station.note("uftp-key-req-in", None, source)
        if not self._answers.take(now_ns):
            station.drop(DropReason.RATE_LIMITED)
            return
        key, ecdh = station.ring.first(), station.ring.ecdh
        if key is None:
            station.drop(DropReason.TOO_LARGE)
            return
        nonce = station.entropy(NONCE_BYTES)
        signature = key.sign(nonce, SHA1)
        blob = ecdh.public.blob if ecdh else b""
        message = ProxyKey(int.from_bytes(nonce), key.public.blob, signature, blob)
        datagram = Header(message.FUNCTION, station.uid).encode() + message.encode()
        for group in station.settings.public_groups:
            station.send(datagram, group)
        station.note("uftp-proxy-key-out", None)

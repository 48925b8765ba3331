"""KEY_REQ and PROXY_KEY: a response proxy shows its keys to the clients that ask for them.

Source: UFTP 4.10.2, observed, which answers each question; its documents promise one answer in five seconds, which is
long for the client that asks a moment after another one, and can take part in nothing encrypted before: ours answers
the first few at once, all who ask then together.
"""

from __future__ import annotations

from workers.contract.uftp import DropReason, Mode
from workers.deadlines import NEVER
from workers.uftp.hashes import SHA1
from workers.uftp.header import Header
from workers.uftp.proxykey import ProxyKey
from workers.uftp.station import Station
from workers.uftp.timers import SECOND_NS, Ration

ANSWERS_A_SECOND, ANSWERS_AT_ONCE = 5, 10
"""Each answer is a signature and a multicast that strangers can ask for."""
PAUSE_NS = SECOND_NS // ANSWERS_A_SECOND
"""How long those wait for whom there is no answer left."""
NONCE_BYTES = 4


class ProxyKeys:
    """The answers to KEY_REQ; in a proxy of several workers, the first one's alone.

    due_ns: when those who have asked since the last answer get theirs, NEVER if nobody has.
    """

    def __init__(self, station: Station, now_ns: int) -> None:
        self._station = station
        self._ration = Ration(ANSWERS_A_SECOND, ANSWERS_AT_ONCE, now_ns)
        self.due_ns = NEVER

    def request(self, source: bytes, now_ns: int) -> None:
        """Answer at once, or as soon as it is time, together with others; other modes have no keys to show."""
        station = self._station
        if station.mode is not Mode.RESPONSE:
            station.drop(DropReason.NOT_FOR_US)
            return
        station.note("uftp-key-req-in", None, source)
        if self.due_ns < NEVER:
            station.drop(DropReason.RATE_LIMITED)
            return
        self.answer(now_ns)

    def answer(self, now_ns: int) -> None:
        """Multicast our keys on every public group; where there have been too many answers, a moment later."""
        station = self._station
        if not self._ration.take(now_ns):
            self.due_ns = now_ns + PAUSE_NS
            return
        self.due_ns = NEVER
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

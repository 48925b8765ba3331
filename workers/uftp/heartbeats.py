"""Heartbeats: asking to be heard through a NAT, and finding the downstream proxy by its key (-s fp=).

Both halves are here, since any proxy may be asked and may ask. Messages in, messages and addresses out; the clock is an
argument. Source: UFTP 4.10.2, observed; nonces nobody can guess, bounded signing: ours.
"""

from __future__ import annotations

from typing import Final

from workers.contract.uftp import DropReason
from workers.deadlines import NEVER
from workers.errors import PeerError, SealError
from workers.uftp import keys
from workers.uftp.actions import Moved
from workers.uftp.fingerprint import fingerprint
from workers.uftp.hashes import SHA1
from workers.uftp.header import Header
from workers.uftp.heartbeat import HeartbeatRequest, HeartbeatResponse, HeartbeatResult
from workers.uftp.messages import Plain
from workers.uftp.station import Station
from workers.uftp.timers import Ration

NONCE_BYTES = 4
SIGNED_A_SECOND, SIGNED_AT_ONCE = 10, 20
"""Signatures that challenges can make us give: one costs a millisecond with RSA."""


class Heartbeats:
    """The heartbeats of one proxy; in a proxy of several workers, the first one's alone. now_ns: of the first round.

    nonce: what somebody must sign to become the downstream proxy; never 0.
    """

    def __init__(self, station: Station, now_ns: int) -> None:
        self._station: Final = station
        self._targets = station.settings.heartbeats.targets
        self._wanted = station.settings.downstream_fingerprint
        self.nonce = self._draw()
        self._signing = Ration(SIGNED_A_SECOND, SIGNED_AT_ONCE, now_ns)
        self.due_ns = now_ns if self._targets else NEVER

    def round(self, now_ns: int) -> None:
        """Send the plain heartbeat that is due to everybody it goes to."""
        self.due_ns = now_ns + self._station.settings.heartbeats.interval_ns
        for target in self._targets:
            self._send(HeartbeatRequest(), target)

    def answer(self, message: HeartbeatResponse, source: bytes, now_ns: int) -> None:
        """Take in the answer to a heartbeat of ours; a challenge is answered at once."""
        if source not in self._targets:
            self._station.drop(DropReason.NOT_FOR_US)
        elif message.result == HeartbeatResult.CHALLENGE:
            self._station.note("uftp-heartbeat-challenged", None, source)
            self._prove(message.nonce, source, now_ns)
        elif message.result == HeartbeatResult.OK:
            self._station.note("uftp-heartbeat-ok", None, source)
        else:
            self._station.note("uftp-heartbeat-failed", None, source)

    def request(self, message: HeartbeatRequest, source: bytes) -> None:
        """Answer somebody's heartbeat; with fp= it may prove to be the downstream proxy."""
        station = self._station
        station.note("uftp-heartbeat-in", None, source)
        if self._wanted is None or source == station.downstream.current:
            self._send(HeartbeatResponse(HeartbeatResult.OK), source)
            return
        if message.nonce != self.nonce:
            station.note("uftp-heartbeat-challenge", None, source)
            self._send(HeartbeatResponse(HeartbeatResult.CHALLENGE, self.nonce), source)
            return
        try:
            self._check(message)
        except (SealError, PeerError) as error:
            station.drop(DropReason.NOT_AUTHENTIC)
            station.note("uftp-heartbeat-refused", None, source, str(error))
            self._send(HeartbeatResponse(HeartbeatResult.FAILED), source)
            return
        self.nonce = self._draw()
        station.note("uftp-downstream", None, source)
        station.move_downstream(source)
        station.actions.append(Moved(source))
        self._send(HeartbeatResponse(HeartbeatResult.OK), source)

    def _check(self, message: HeartbeatRequest) -> None:
        if fingerprint(message.key_blob) != self._wanted:
            raise PeerError("another key than that of -s fp=")
        key = keys.decode_public_key(message.key_blob)
        key.verify(message.signature, message.nonce.to_bytes(NONCE_BYTES), SHA1)

    def _prove(self, nonce: int, to: bytes, now_ns: int) -> None:
        if not self._signing.take(now_ns):
            self._station.drop(DropReason.RATE_LIMITED)
            return
        key = self._station.ring.first()
        if key is None:
            self._station.drop(DropReason.TOO_LARGE)
            return
        signature = key.sign(nonce.to_bytes(NONCE_BYTES), SHA1)
        self._send(HeartbeatRequest(nonce, key.public.blob, signature), to)

    def _draw(self) -> int:
        """Return a new nonce; never 0, which is what a plain heartbeat carries."""
        nonce = 0
        while not nonce:
            nonce = int.from_bytes(self._station.entropy(NONCE_BYTES))
        return nonce

    def _send(self, message: Plain, to: bytes) -> None:
        header = Header(message.FUNCTION, self._station.uid)
        self._station.send(header.encode() + message.encode(), to)

"""What to do about datagrams the system would not send: name the reason, and log it."""

from __future__ import annotations

import errno
import os

from workers.contract.slots import DropReason
from workers.journal import Journal
from workers.session.session import Session

REFUSED = frozenset((errno.ECONNREFUSED,))
"""The peer's host has refused an earlier datagram; the next one may pass (ip(7), Error handling)."""
NO_WAY = frozenset((errno.ENETUNREACH, errno.EINVAL, errno.EADDRNOTAVAIL, errno.EDESTADDRREQ))
"""What a socket may say whose own address this machine has lost, among others."""
NO_TRAINS = frozenset((errno.EINVAL, errno.EMSGSIZE, errno.EIO))
"""What a path says that takes no trains: segments longer than its MTU, or nobody to compute their checksums."""
UNREACHABLE = frozenset((errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN))
"""Nobody takes datagrams there, says the peer's host, a router, or our own."""
_BUSY = frozenset((errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.EINTR))


def drop_reason(code: int) -> DropReason:
    """Return the reason a datagram is counted under that failed with this errno."""
    if code in _BUSY:
        return DropReason.SEND_BUSY
    return DropReason.SEND_REFUSED if code in REFUSED else DropReason.SEND_FAILED


def note_unsent(journal: Journal, session: Session, peer: bytes, code: int) -> DropReason:
    """Log a datagram that did not leave, and return its drop reason."""
    journal.note("unsent", session.track, peer, 1, os.strerror(code))
    if code in UNREACHABLE and peer == session.target:
        session.terms.tally.refused_ns = journal.now_ns
    return drop_reason(code)


def note_error(journal: Journal, session: Session, code: int) -> None:
    """Log an error the network reported for a session's server; the session goes on (K-87)."""
    journal.note("socket-error", session.track, session.target, os.strerror(code))
    if code in UNREACHABLE:
        session.terms.tally.refused_ns = journal.now_ns

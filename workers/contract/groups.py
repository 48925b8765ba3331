"""A UFTP worker's groups in its shared memory: one record a group, in the slots that other workers have for sessions.

The worker writes about once a second, everybody else reads; nothing is taken over from here, it is only shown. Times
are CLOCK_MONOTONIC nanoseconds. Source: workers.contract.slots (regions, slots), UFTP 4.10.2 (what a group is).
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag

GROUP = struct.Struct("=BBBBIIIIIHHIqqqQQQQ28s28s64s")
"""One group. In order: state (0 free, 1 open), phase, flags, instance; group ID, server's UID, clients, ready clients,
round-trip time of the whole group (us); file ID (0: none), robust, block size (bytes); began, heard last, file began
(ns); datagrams and bytes passed on to the clients' side in all, bytes of them since the file began, the file's size
(bytes); the server, where datagrams go on to (raw socket addresses, zero-padded); the file's name (UTF-8, cut)."""

NAME_BYTES = 64


class GroupPhase(IntEnum):
    """How far a group has come."""

    ANNOUNCED = 1
    KEYED = 2
    """The group's key is known; clients are still getting it."""
    RECEIVING = 3
    """Set-up is over. A server proxy does not look: there a group is receiving from the beginning."""


class GroupFlag(IntFlag):
    """What else is known of a group."""

    ENCRYPTED = 1
    GATHERS = 2
    """Clients are known here: not so in a server proxy, which passes on what they say."""

"""Which mode does what with which message: tables from function to handler, looked up by the machine.

A server's message without a row is passed on untouched; so is a client's in a plain group. Source: UFTP 4.10.2,
observed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from workers.uftp import feedback, registration, steering
from workers.uftp.abort import Abort
from workers.uftp.clients import Client
from workers.uftp.congestion import CongestionAck
from workers.uftp.exchange import ClientLeg
from workers.uftp.finish import Complete, Status
from workers.uftp.groups import Group
from workers.uftp.header import Function, Header
from workers.uftp.keying import KeyInfo, KeyInfoAck
from workers.uftp.register import ClientKey, RegConf, Register
from workers.uftp.station import Station
from workers.uftp.transfer import FileInfoAck

FromServer: TypeAlias = Callable[[Station, Group, Header, Any, int], None]
FromStranger: TypeAlias = Callable[[Station, Group, int, Any, int], None]
FromClient: TypeAlias = Callable[[Station, Group, Client[ClientLeg], Any, int], None]

OUTSIDE_GROUPS = frozenset({Function.HB_REQ, Function.HB_RESP, Function.KEY_REQ, Function.PROXY_KEY})
"""Messages about no group, with group ID 0."""
NEVER_ROUTED = OUTSIDE_GROUPS | {Function.ANNOUNCE, Function.REGISTER, Function.CLIENT_KEY, Function.FILEINFO}
"""Messages that the machine must see whatever the mode; of files it only wants to know which one is on its way."""
FUNCTIONS = frozenset(Function)

STEERED: dict[int, tuple[type, FromServer]] = {
    Function.ABORT: (Abort, steering.abort),
    Function.KEYINFO: (KeyInfo, steering.keyinfo),
}
"""What a server says to a client or response proxy itself."""
STEERED_IF_ENCRYPTED: dict[int, tuple[type, FromServer]] = {Function.REG_CONF: (RegConf, steering.reg_conf)}
"""The same, where the group is encrypted."""

ENTRY: dict[int, tuple[type, FromStranger]] = {
    Function.REGISTER: (Register, registration.register),
    Function.CLIENT_KEY: (ClientKey, registration.client_key),
}
"""What makes a client known; always in the clear."""


class Answer(NamedTuple):
    """What a known client may say. clear: also unencrypted in an encrypted group, until it has the group's key."""

    kind: type
    handler: FromClient
    clear: bool = False


ANSWERS: dict[int, Answer] = {
    Function.KEYINFO_ACK: Answer(KeyInfoAck, registration.keyinfo_ack),
    Function.FILEINFO_ACK: Answer(FileInfoAck, feedback.fileinfo_ack),
    Function.STATUS: Answer(Status, feedback.status),
    Function.COMPLETE: Answer(Complete, feedback.complete),
    Function.ABORT: Answer(Abort, feedback.abort, clear=True),
}
SEALED_ANSWERS: dict[int, Answer] = ANSWERS | {Function.CC_ACK: Answer(CongestionAck, feedback.congestion_ack)}
"""In an encrypted group: congestion feedback cannot go on as it is, the server has no key for a proxy's clients."""

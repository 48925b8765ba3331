"""How clients come into a group behind a client or response proxy: REGISTER, CLIENT_KEY, KEYINFO_ACK.

Source: UFTP 4.10.2, observed; a full group answers newcomers only, a repeated key exchange costs nothing, a client
keeps the key it has proved, and its place when it is only repeated: ours.
"""

from __future__ import annotations

from workers.contract.uftp import DropReason, Fact
from workers.errors import PeerError, SealError
from workers.uftp import feedback, outlet
from workers.uftp.clients import FINISHED, Client, ClientInput, ClientState
from workers.uftp.exchange import ClientLeg, Heard
from workers.uftp.groups import Group, PhaseInput
from workers.uftp.keying import KeyInfoAck
from workers.uftp.register import ClientKey, Register
from workers.uftp.station import Station
from workers.uftp.suite import SignatureType

_WAITING = frozenset({ClientState.REGISTERED, ClientState.CONFIRMED})


def register(station: Station, group: Group, uid: int, message: Register, now_ns: int) -> None:
    """Take in a client's REGISTER; one that may not take part is told so."""
    client = _enter(station, group, uid, now_ns)
    if client is None:
        return
    station.note("uftp-register-in", group, "+" if client.state is not ClientState.MUTE else "", uid)
    heard = Heard(message.timestamp, now_ns)
    if group.crypto is None:
        group.clients.advance(client, ClientInput.REGISTERED)
        feedback.register(station, group, client, heard, now_ns)
        return
    leg = _leg_of(client)
    try:
        group.crypto.hear_register(leg, message)
    except SealError as error:
        refuse(station, group, uid, str(error), now_ns)
        return
    leg.heard = heard
    _conclude(station, group, client, leg, now_ns)


def client_key(station: Station, group: Group, uid: int, message: ClientKey, now_ns: int) -> None:
    """Take in a client's CLIENT_KEY; it is of no use in a group whose clients do not authenticate."""
    if group.crypto is None or not group.crypto.client_auth:
        station.drop(DropReason.NOT_FOR_US)
        return
    try:
        station.lists.check_client(uid, message.key_blob)
        client = _enter(station, group, uid, now_ns)
        if client is None:
            return
        leg = _leg_of(client)
        station.note("uftp-client-key-in", group, "+" if leg.key is not None else "", uid)
        group.crypto.hear_client_key(leg, message)
    except (SealError, PeerError) as error:
        refuse(station, group, uid, str(error), now_ns)
        return
    _conclude(station, group, client, leg, now_ns)


def keyinfo_ack(station: Station, group: Group, client: Client[ClientLeg], message: KeyInfoAck, _now_ns: int) -> None:
    """Take in the proof that a client has the group's key. Raises PeerError: it is none."""
    leg = client.exchange
    if group.crypto is None or leg is None or not group.crypto.has_key(leg, message):
        raise PeerError("wrong verify data")
    station.note("uftp-keyinfo-ack-in", group, client.uid)
    group.clients.advance(client, ClientInput.PROVED)
    if group.clients.all_finished:
        group.advance(PhaseInput.ALL_READY)


def refuse(station: Station, group: Group, uid: int, why: str, now_ns: int) -> None:
    """Tell a client that it may not take part, or cannot.

    An ABORT for nobody would be obeyed by all; and where the client of this UID has registered and waits for the
    group's key, or needs none, it is not told either: somebody else may have sent this.
    """
    station.drop(DropReason.CLIENT_REFUSED)
    station.note("uftp-client-refused", group, uid, why)
    client = group.clients.get(uid)
    if uid and (client is None or client.state not in _WAITING):
        outlet.abort_down(station, group, uid, why, now_ns)


def _enter(station: Station, group: Group, uid: int, now_ns: int) -> Client[ClientLeg] | None:
    """Return the client, made known if it is new, with something to be noted of it; None if it is refused."""
    client = group.clients.get(uid)
    if client is not None:
        group.clients.changed[uid] = client
        return client
    try:
        _check_uid(station, group, uid)
    except PeerError as error:
        refuse(station, group, uid, str(error), now_ns)
        return None
    client = group.clients.add(uid) if station.has_room else None
    if client is None:
        station.drop(DropReason.TOO_MANY_CLIENTS)
        station.note("uftp-group-full", group, uid, len(group.clients))
        outlet.abort_down(station, group, uid, "too many destinations", now_ns)
        return None
    station.facts[Fact.CLIENTS] += 1
    _begin(group, client, now_ns)
    return client


def _begin(group: Group, client: Client[ClientLeg], now_ns: int) -> None:
    """Let a client's time to register count from now, though set-up may be over for all others."""
    client.since_ns = now_ns
    if group.crypto is not None:
        group.setup_ns = min(group.setup_ns, now_ns + group.patience_ns)


def check_name(station: Station, group: Group, uid: int) -> None:
    """Return if a client may have this UID. Raises PeerError.

    The server's own does no harm, and is common where both are made of private addresses; but under an authenticated
    cipher two who seal with one key and one UID reuse nonces, which gives both messages and the key away.
    """
    if not uid:
        raise PeerError("no client has UID 0")
    if uid == station.uid:
        raise PeerError("the UID of this proxy; the client needs another one (uftpd -U)")
    sealed = group.crypto is not None and group.crypto.suite.signature is SignatureType.AUTHENC
    if uid == group.terms.server_uid and sealed:
        raise PeerError("the server's UID, which with this cipher is not safe; the client needs another one (uftpd -U)")


def _check_uid(station: Station, group: Group, uid: int) -> None:
    """Return if a new client may be known. Raises PeerError. With authentication its CLIENT_KEY must pass as well."""
    check_name(station, group, uid)
    if group.crypto is not None and group.crypto.client_auth:
        station.lists.check_uid(uid)
        return
    station.lists.check_client(uid, None)
    if station.lists.has_clients and not group.warned:
        group.warned = True
        station.note("uftp-bare-list", group)


def _leg_of(client: Client[ClientLeg]) -> ClientLeg:
    if client.exchange is None:
        client.exchange = ClientLeg()
    return client.exchange


def _conclude(station: Station, group: Group, client: Client[ClientLeg], leg: ClientLeg, now_ns: int) -> None:
    """Register a client whose REGISTER and, where wanted, CLIENT_KEY are there and fit each other.

    A signature that does not fit is no refusal: the other half may be of an earlier attempt, and the right one on its
    way.
    """
    if group.crypto is None or leg.heard is None:
        return
    is_new = leg.shaken is not leg.offered
    try:
        complete = group.crypto.conclude(leg)
    except SealError as error:
        station.drop(DropReason.NOT_AUTHENTIC)
        station.note("uftp-client-refused", group, client.uid, str(error))
        return
    if complete:
        _advance(group, client, is_new, now_ns)
        feedback.register(station, group, client, leg.heard, now_ns)


def _advance(group: Group, client: Client[ClientLeg], is_new: bool, now_ns: int) -> None:
    """Let a client of an encrypted group be registered. is_new: with keys that it has not registered with before.

    One that has the group's key already has it still when it repeats itself: that is a datagram which came late. One
    that comes with other keys gets the group's key again; but where clients need not prove who they are, nobody is told
    of it if it fails then: with a word to the server any stranger could end the real client's transfer.
    """
    if client.state in FINISHED:
        if not is_new:
            return
        if group.crypto is not None and group.crypto.client_auth:
            _begin(group, client, now_ns)
    group.clients.advance(client, ClientInput.REGISTERED)

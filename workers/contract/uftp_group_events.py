"""The events of uftpproxyd's engine: groups, clients, keys, heartbeats. Part of the catalogue.

A row is a name, the log level from which on it is written (0 to 5), the text, and the fields by their kinds; the loop
fills `group` before them. The texts are the operator's interface: change one only with its manual page and CHANGELOG
entry. Source: uftpproxyd(8), LOGGING.
"""

from __future__ import annotations

from workers.contract.events import Event, Kind, Line
from workers.contract.uftp_events import GROUP_FIELD


def _row(number: int, name: str, level: int, text: str, **fields: Kind) -> Event:
    return Event(name, (GROUP_FIELD, *fields.items()), (Line(f"UFTP-{number}-{level}", "{group}" + text),))


_T, _N, _S, _U, _I = Kind.TEXT, Kind.NUMBER, Kind.SOCK, Kind.UID, Kind.UIDS

UFTP_GROUP_EVENTS = (
    # Groups.
    _row(200, "uftp-group-opened", 2, "Received request from {server} at {source}", server=_U, source=_S),
    _row(201, "uftp-group-addresses", 2, "Public address {public}, private address {private}", public=_S, private=_S),
    _row(202, "uftp-group-crypto", 2, "Encrypted: {suite}", suite=_T),
    _row(203, "uftp-group-refused", 1, "Refused group of {server} at {source}: {why}", server=_U, source=_S, why=_T),
    _row(204, "uftp-group-timeout", 1, "Group timed out"),
    _row(205, "uftp-weak-crypto", 1, "This group is weakly protected: {why}", why=_T),
    _row(206, "uftp-group-full", 1, "Refused client {uid}: there are {clients} clients", uid=_U, clients=_N),
    _row(207, "uftp-not-registered", 1, "Client {uid} has not registered in time", uid=_U),
    _row(208, "uftp-bare-list", 1, "The list of clients proves nothing here: clients do not authenticate"),
    _row(209, "uftp-adopted", 2, "Groups taken over: {groups}, clients: {clients}", groups=_N, clients=_N),
    _row(210, "uftp-not-adopted", 1, "Not taken over from the worker before: {why}", why=_T),
    _row(211, "uftp-store-emptied", 1, "What the worker before has left is not to be used: groups begin anew"),
    _row(
        212,
        "uftp-store-full",
        1,
        "No room to save {records} groups or clients: they would not outlive this worker",
        records=_N,
    ),
    # What is not let through.
    _row(220, "uftp-noise", 4, "Dropped a datagram of {source}: {why}", source=_S, why=_T),
    _row(221, "uftp-rejected", 1, "Rejected {message} of {source}: {why}", message=_T, source=_S, why=_T),
    _row(223, "uftp-no-downstream", 1, "Downstream address not established; dropped what {source} sent", source=_S),
    _row(224, "uftp-wrong-source", 1, "Source ID {uid} is not the server's", uid=_U),
    _row(225, "uftp-unknown-client", 1, "Client {uid} at {source} has not registered", uid=_U, source=_S),
    _row(226, "uftp-in-the-clear", 1, "Client {uid} has sent in the clear what must be encrypted", uid=_U),
    _row(222, "uftp-client-refused", 1, "Refused client {uid}: {why}", uid=_U, why=_T),
    # Registration and keys.
    _row(230, "uftp-register-in", 2, "Received REGISTER{again} from {uid}", again=_T, uid=_U),
    _row(231, "uftp-register-out", 2, "REGISTER sent for {clients} clients", clients=_N),
    _row(232, "uftp-client-key-in", 2, "Received CLIENT_KEY{again} from {uid}", again=_T, uid=_U),
    _row(233, "uftp-client-key-out", 2, "CLIENT_KEY sent"),
    _row(234, "uftp-reg-conf-in", 2, "Received REG_CONF for {uids}", uids=_I),
    _row(235, "uftp-keyinfo-in", 2, "Received KEYINFO"),
    _row(236, "uftp-keyinfo-ack-out", 2, "KEYINFO_ACK sent"),
    _row(237, "uftp-keyinfo-out", 2, "Sending KEYINFO {part} for {clients} clients", part=_N, clients=_N),
    _row(238, "uftp-keyinfo-ack-in", 2, "Received KEYINFO_ACK from {uid}", uid=_U),
    _row(239, "uftp-key-made", 2, "Made a key: {kind}, fingerprint {fingerprint}", kind=_T, fingerprint=_T),
    # The transfer.
    _row(250, "uftp-fileinfo-ack-in", 2, "Received FILEINFO_ACK from {uid}", uid=_U),
    _row(251, "uftp-fileinfo-ack-out", 2, "FILEINFO_ACK sent for {clients} clients", clients=_N),
    _row(252, "uftp-status-in", 2, "Got {naks} NAKs for section {section} from {uid}", naks=_N, section=_N, uid=_U),
    _row(253, "uftp-status-out", 2, "Sent {naks} NAKs for section {section}", naks=_N, section=_N),
    _row(254, "uftp-complete-in", 2, "Received COMPLETE ({status}) from {uid}", status=_T, uid=_U),
    _row(255, "uftp-complete-out", 2, "Sent COMPLETE ({status}) for {clients} clients", status=_T, clients=_N),
    _row(256, "uftp-abort-in", 1, "Transfer aborted by {uid}: {why}", uid=_U, why=_T),
    _row(257, "uftp-abort-up", 1, "ABORT sent to the server about {uid}: {why}", uid=_U, why=_T),
    _row(258, "uftp-abort-down", 1, "ABORT sent to clients about {uid}: {why}", uid=_U, why=_T),
    _row(259, "uftp-grtt", 4, "GRTT is {microseconds} us", microseconds=_N),
    # Heartbeats and a response proxy's keys.
    _row(270, "uftp-heartbeat-in", 2, "Received a heartbeat from {source}", source=_S),
    _row(271, "uftp-heartbeat-challenged", 1, "{source} asks for an authenticated heartbeat", source=_S),
    _row(272, "uftp-heartbeat-failed", 1, "{source} does not accept our heartbeat", source=_S),
    _row(273, "uftp-heartbeat-ok", 2, "{source} has answered our heartbeat", source=_S),
    _row(274, "uftp-heartbeat-refused", 1, "Refused the heartbeat of {source}: {why}", source=_S, why=_T),
    _row(275, "uftp-downstream", 1, "Using {downstream} as downstream address", downstream=_S),
    _row(276, "uftp-heartbeat-challenge", 1, "Challenged {source} to authenticate its heartbeat", source=_S),
    _row(277, "uftp-key-req-in", 2, "Received KEY_REQ from {source}", source=_S),
    _row(278, "uftp-proxy-key-out", 2, "PROXY_KEY sent"),
    _row(279, "uftp-downstream-alias", 1, "The downstream proxy seems to answer from {source}", source=_S),
)

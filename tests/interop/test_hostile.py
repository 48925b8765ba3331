"""What crashes, floods or confuses the original, sent to our proxies: they live, count it, and go on serving.

What the original does is in the tests' docstrings.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.hostile_site import GRTT_BYTE, PORT, STRANGER_UID, Peer, Site, raw_message, with_length
from tests.interop.scene import OURS, PRIVATE, PUBLIC, WITHIN_S, Scene
from tests.kit.requirement import requires_program, requires_root
from workers.uftp import messages
from workers.uftp.abort import Abort
from workers.uftp.extensions import EncInfo, UnknownExtension
from workers.uftp.finish import Complete
from workers.uftp.header import Function, Header
from workers.uftp.proxykey import KeyRequest
from workers.uftp.register import RegConf, Register
from workers.uftp.timestamp import Timestamp
from workers.uftp.transfer import FileInfoAck

pytestmark = [requires_program("uftp", "uftpd", "ip", "nsenter"), requires_root]
CLIENTS = 20
KEY_REQUEST = Header(Function.KEY_REQ, 1, 0, 0).encode() + KeyRequest().encode()
QUIET_S = 0.5
"""How long to wait for what must not come: fifty round trips."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("hostile"), "--max-clients", str(CLIENTS)) as built:
        yield built


def stamp() -> Timestamp:
    return Timestamp.from_us(time.time_ns() // 1000)


def test_announcements_cut_anywhere_are_counted(site: Site) -> None:
    """The original reads on behind the end, and dies."""
    before = site.drops("cproxy"), site.drops("sproxy")
    whole = site.announce(site.new_group())
    cuts = [whole[:8] + site.new_group().to_bytes(4) + whole[12:size] for size in range(20, len(whole))]
    for cut in cuts:
        site.between.say(cut, site.cproxy)
        site.above.say(cut, site.sproxy)
    assert site.still_serves()
    for station, then in zip(("cproxy", "sproxy"), before, strict=True):
        found = site.drops(station) - then
        assert found["malformed"] + found["short"] + found["group-refused"] == len(cuts)


@pytest.mark.parametrize("words", [0, 1, 3, 5, 7, 64, 255])
def test_announcements_that_claim_another_length_are_refused(site: Site, words: int) -> None:
    """The original dies of some, and aborts others."""
    group_id = site.new_group()
    site.between.say(with_length(site.announce(group_id), words), site.cproxy)
    site.above.say(with_length(site.announce(group_id), words), PUBLIC)
    assert site.below.hear(Function.ANNOUNCE, group_id, QUIET_S) is None
    assert site.still_serves()


def test_three_hundred_groups_at_once_are_served(site: Site) -> None:
    """The original dies of the 101st."""
    groups = [site.new_group() for _ in range(300)]
    for group_id in groups:
        site.between.say(site.announce(group_id), site.cproxy)
        heard = site.below.hear(Function.ANNOUNCE, group_id)
        assert heard is not None
    site.between.say(site.from_server(groups[0], RegConf((1,))), site.cproxy)
    assert site.below.hear(Function.REG_CONF, groups[0])
    assert site.still_serves()


def enc_info(**changes: object) -> EncInfo:
    usual = {"flags": 0, "key_exchange": 1, "signature_type": 1, "cipher": 3, "hash": 3}
    blob = b"\1\0\0\x40\0\1\0\1" + bytes(range(64))
    return EncInfo(*(usual | changes).values(), bytes(32), blob, b"", b"")


@pytest.mark.parametrize(
    "changes",
    [
        {"cipher": 99},
        {"hash": 9},
        {"signature_type": 7},
        {"key_exchange": 9},
        {"key_exchange": 3},
        {"signature_type": 3},
    ],
    ids=lambda changes: " ".join(f"{name} {number}" for name, number in changes.items()),
)
def test_impossible_encryption_is_refused_with_an_abort_once(site: Site, changes: dict[str, object]) -> None:
    """The original judges every repetition in full, and makes keys for each."""
    group_id = site.new_group()
    datagram = site.announce(group_id, enc_info(**changes))
    for _ in range(5):
        site.between.say(datagram, site.cproxy)
    heard = site.between.hear(Function.ABORT, group_id)
    assert heard is not None
    assert heard[0].source_id == 0xC0C0
    assert site.between.hear(Function.ABORT, group_id, QUIET_S) is None
    assert site.drops("cproxy")["group-refused"] >= 4
    assert site.still_serves()


@pytest.mark.parametrize("length", [0, 1, 11, 12, 255])
def test_encryption_whose_lengths_do_not_fit_is_refused(site: Site, length: int) -> None:
    group_id = site.new_group()
    datagram = bytearray(site.announce(group_id, enc_info()))
    datagram[16 + 24 + 1] = length
    site.between.say(bytes(datagram), site.cproxy)
    assert site.below.hear(Function.ANNOUNCE, group_id, QUIET_S) is None
    assert site.still_serves()


def test_an_unknown_extension_is_passed_on_as_it_is(site: Site) -> None:
    group_id = site.new_group()
    datagram = site.announce(group_id, UnknownExtension(99, b"\x63\2\0\0what"))
    site.between.say(datagram, site.cproxy)
    heard = site.below.hear(Function.ANNOUNCE, group_id)
    assert heard is not None
    assert heard[1] == datagram


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"\x30" + bytes(39), "version"),
        (b"\x50" + bytes(39), "version"),
        (b"\x40" + bytes(18), "short"),
        (b"\x40", "short"),
    ],
    ids=["version 3", "version 5", "19 bytes", "1 byte"],
)
def test_what_is_no_uftp_4_is_counted(site: Site, datagram: bytes, reason: str) -> None:
    before = site.drops("cproxy")
    site.between.say(datagram, site.cproxy)
    site.between.say(b"", site.cproxy)
    assert site.still_serves()
    assert (site.drops("cproxy") - before)[reason] >= 1


def test_a_known_client_may_say_what_nobody_knows_and_a_stranger_may_not(site: Site) -> None:
    """As in the original: functions to come must get through."""
    group_id = site.open_group()
    before = site.drops("cproxy")
    site.below.say(raw_message(200, group_id, b"\xc8\1\0\0", uid=7), site.cproxy_below)
    site.below.say(site.from_client(8, group_id, Register(stamp())), site.cproxy_below)
    assert site.between.hear(Function.REGISTER, group_id)
    site.below.say(raw_message(200, group_id, b"\xc8\1\0\0", uid=8), site.cproxy_below)
    heard = site.between.hear(200, group_id)
    assert heard is not None
    assert heard[0].source_id == 8
    assert (site.drops("cproxy") - before)["unknown-client"] == 1


@pytest.mark.parametrize(
    "body",
    [b"\2\x0a" + bytes(38), b"\2\x0b\xff\xff" + bytes(40), b"\2\xff" + bytes(42), b"\3\2\0\0\xff\xff\xff\xff"],
    ids=["short", "key-info", "long", "client-key"],
)
def test_a_registration_of_a_wrong_size_is_refused_so_that_the_client_obeys(site: Site, body: bytes) -> None:
    """The original's ABORT has its own UID and a GRTT of 1 us: clients ignore it, and register in a flood."""
    group_id = site.open_group()
    site.below.say(raw_message(body[0], group_id, body, uid=9), site.cproxy_below)
    heard = site.below.hear(Function.ABORT, group_id)
    assert heard is not None
    head, datagram = heard
    assert (head.source_id, head.grtt) == (STRANGER_UID, GRTT_BYTE)
    assert messages.decode(head, datagram[16:]).host == 9
    assert site.still_serves()


def test_strangers_cannot_make_aborts_without_end(site: Site) -> None:
    group_id = site.open_group()
    for uid in range(1, 2001):
        site.below.say(raw_message(Function.REGISTER, group_id, b"\2\x0a" + bytes(38), uid=uid), site.cproxy_below)
    count = 0
    while site.below.hear(Function.ABORT, group_id, QUIET_S if count else WITHIN_S):
        count += 1
    assert 0 < count < 1000
    assert site.still_serves()
    assert site.drops("cproxy")["rate-limited"] > 0


def test_a_full_table_refuses_newcomers_only(site: Site) -> None:
    """The original answers known clients with an ABORT too."""
    group_id = site.open_group()
    for uid in range(1, CLIENTS + 2):
        site.below.say(site.from_client(uid, group_id, Register(stamp())), site.cproxy_below)
    heard = site.below.hear(Function.ABORT, group_id)
    assert heard is not None
    assert messages.decode(heard[0], heard[1][16:]).host == CLIENTS + 1
    listed: set[int] = set()
    while len(listed) < CLIENTS:
        up = site.between.hear(Function.REGISTER, group_id)
        assert up is not None
        listed |= set(messages.decode(up[0], up[1][16:]).uids)
    assert listed == set(range(1, CLIENTS + 1))
    site.below.say(site.from_client(1, group_id, Register(stamp())), site.cproxy_below)
    assert site.between.hear(Function.REGISTER, group_id), "a known client is served"


def test_a_client_in_two_messages_at_once_leaves_no_empty_one_behind(site: Site) -> None:
    """The original sends an empty message every round trip from then on, for ever."""
    group_id = site.open_group()
    site.below.say(site.from_client(3, group_id, Register(stamp())), site.cproxy_below)
    site.below.say(site.from_client(3, group_id, FileInfoAck(1, 0, stamp())), site.cproxy_below)
    site.below.say(site.from_client(3, group_id, Complete(1, 0)), site.cproxy_below)
    heard = list(site.between.listen(group_id, QUIET_S))
    assert [head.function for head, _ in heard] == [Function.REGISTER, Function.FILEINFO_ACK, Function.COMPLETE]
    assert {messages.decode(head, datagram[16:]).uids for head, datagram in heard} == {(3,)}
    site.scene.running["cproxy"].wait_for(f"{group_id:08X}/00.*timed out")


def test_a_short_abort_ends_nothing(site: Site) -> None:
    """The original says that it rejects it, and obeys."""
    group_id = site.open_group()
    whole = site.from_server(group_id, Abort(0, b"end"))
    for size in (24, 60, 323):
        site.between.say(whole[:size], site.cproxy)
    site.between.say(site.from_server(group_id, RegConf((1,))), site.cproxy)
    assert site.below.hear(Function.REG_CONF, group_id)
    assert site.below.hear(Function.ABORT, group_id, QUIET_S) is None


def test_an_abort_under_another_name_or_from_elsewhere_ends_nothing(site: Site) -> None:
    group_id = site.open_group()
    site.between.say(site.from_server(group_id, Abort(0, b"end"), uid=0x7777), site.cproxy)
    elsewhere = Peer(site.scene, 2)
    elsewhere.say(site.from_server(group_id, Abort(0, b"end")), site.cproxy)
    elsewhere.close()
    site.between.say(site.from_server(group_id, RegConf((1,))), site.cproxy)
    assert site.below.hear(Function.REG_CONF, group_id)
    assert site.below.hear(Function.ABORT, group_id, QUIET_S) is None


def test_a_server_proxy_carries_nothing_from_strangers_to_servers(site: Site) -> None:
    """The original passes on to the server whatever anybody sends who knows a live group ID."""
    group_id = site.new_group()
    site.above.say(site.announce(group_id), PUBLIC)
    assert site.below.hear(Function.ANNOUNCE, group_id)
    before = site.drops("sproxy")
    stranger = Peer(site.scene, 1)
    stranger.say(site.from_client(5, group_id, Register(stamp(), uids=(6,))), site.sproxy)
    stranger.close()
    assert site.above.hear(Function.REGISTER, group_id, QUIET_S) is None
    assert (site.drops("sproxy") - before)["not-allowed"] == 1
    site.below.say(site.from_client(5, group_id, Register(stamp())), site.cproxy_below)
    assert site.above.hear(Function.REGISTER, group_id), "what comes from its downstream proxy goes on"


def test_a_response_proxy_does_not_show_its_keys_as_often_as_it_is_asked(tmp_path: Path) -> None:
    """The original answers each of any number of requests with a signature, to everybody."""
    stations = {"stranger": {3: 66}, "rproxy": {3: 2}}
    with Scene(stations, tmp_path) as scene:
        scene.start_proxy("rproxy", OURS, "-r", "-I", "lan3", "-O", "lan3", "-M", PUBLIC, "-K", "ec:prime256v1")
        listener, asker = Peer(scene, 3, PORT, (PUBLIC,)), Peer(scene, 3)
        for _ in range(200):
            asker.say(KEY_REQUEST, scene.lans.address4("rproxy", 3))
        heard = [head for head, _ in listener.listen(0, QUIET_S) if head.function == Function.PROXY_KEY]
        assert {head.source_id for head in heard} == {0xD0D0}
        assert len(heard) < 100
        listener.close()
        asker.close()


def test_other_proxies_show_no_keys(site: Site) -> None:
    """The original's server proxy multicasts its keys to whoever asks."""
    site.below.say(KEY_REQUEST, site.cproxy_below)
    site.above.say(KEY_REQUEST, site.sproxy)
    assert site.below.hear(Function.PROXY_KEY, 0, QUIET_S) is None
    assert site.drops("sproxy")["not-for-us"] >= 1


def test_heartbeats_that_make_no_sense_are_survived(site: Site) -> None:
    for body in (
        b"\x0e\3\0\0\xff\xff\xff\xff\1\2\3\4",
        b"\x0e\xff",
        b"\x0f\1\0\0",
        b"\x0f\2\2\0\1\2\3\4",
        b"\x0e\0\0\0",
    ):
        for proxy, peer in ((site.cproxy, site.between), (site.sproxy, site.above)):
            peer.say(raw_message(body[0], 0, body), proxy)
    assert site.still_serves()


def test_functions_and_lengths_of_every_number_in_a_live_group_are_survived(site: Site) -> None:
    group_id = site.open_group()
    site.below.say(site.from_client(4, group_id, Register(stamp())), site.cproxy_below)
    assert site.between.hear(Function.REGISTER, group_id)
    for function in range(256):
        for words in (0, 1, 2, 9, 255):
            body = bytes((function, words)) + bytes(range(38))
            site.between.say(raw_message(function, group_id, body), site.cproxy)
            site.below.say(raw_message(function, group_id, body, uid=4), site.cproxy_below)
    assert site.still_serves()


def test_datagrams_of_every_size_are_survived(site: Site) -> None:
    group_id = site.open_group()
    for size in (20, 1_400, 9_000, 9_001, 20_000, 65_000):
        filler = struct.pack("!BBHHH", Function.FILESEG, 2, 1, 0, 0) + bytes(size - 24 if size > 24 else 0)
        site.between.say(raw_message(Function.FILESEG, group_id, filler), site.cproxy)
    assert site.still_serves()


def test_a_real_transfer_still_works_after_all_that(site: Site) -> None:
    site.below.close()
    site.scene.start_client("client1", 3)
    path = site.scene.make_file()
    assert site.scene.send(path, 1).wait(WITHIN_S) == 0
    assert site.scene.arrived(path, "client1")
    site.below = Peer(site.scene, 3, PORT, (PUBLIC, PRIVATE))
    assert site.still_serves()

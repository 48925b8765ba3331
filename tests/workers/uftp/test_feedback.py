"""What clients say during a transfer, and what the server hears of it."""

from __future__ import annotations

import pytest

from tests.kit.uftp_bench import BLOCK_BYTES, CLIENT, GRTT_NS, Bench
from tests.kit.uftp_scene import SERVER, chain, make_cipher, make_ring
from workers.uftp.abort import CURRENT_FILE, Abort
from workers.uftp.congestion import CongestionAck
from workers.uftp.extensions import CongestionFlag, FreeSpace, TfmccAck
from workers.uftp.finish import Complete, CompleteStatus, Status
from workers.uftp.header import Function
from workers.uftp.quantise import encode_rate
from workers.uftp.timestamp import Timestamp
from workers.uftp.transfer import PARTIAL, FileInfoAck


def bench(*uids: int, **announced: object) -> Bench:
    """Return a client proxy with a group in which these clients have registered, in this order."""
    one = Bench()
    one.announce(**announced)
    for uid in uids or (1, 2, 3):
        one.register(uid)
    one.wait(GRTT_NS)
    return one


def ack(uid: int, rate: int = 1_000, flags: int = 0, at: Timestamp | None = None) -> TfmccAck:
    return TfmccAck(flags, 3, encode_rate(rate), uid, at or Timestamp(5, 0))


def test_acknowledgements_of_a_file_go_up_as_one() -> None:
    one = bench()
    for uid in (3, 1):
        assert one.from_client(FileInfoAck(7, 0, one.stamp()), uid) == []
    (sent,) = one.wait(GRTT_NS)
    assert sent.to == SERVER
    assert (sent.header.source_id, sent.header.sequence) == (one.uid, 1)
    assert sent.message == FileInfoAck(7, 0, one.stamp(), (3, 1))


@pytest.mark.parametrize(("flags", "said"), [((PARTIAL, PARTIAL), PARTIAL), ((PARTIAL, 0), 0), ((0, PARTIAL), 0)])
def test_a_file_is_there_in_part_only_if_it_is_so_everywhere(flags: tuple[int, int], said: int) -> None:
    one = bench()
    for uid, flag in zip((1, 2), flags, strict=True):
        one.from_client(FileInfoAck(7, flag, one.stamp()), uid)
    (sent,) = one.wait(GRTT_NS)
    assert sent.message.flags == said


def test_acknowledgements_of_different_files_are_different_messages() -> None:
    one = bench()
    one.from_client(FileInfoAck(7, 0, one.stamp()), 1)
    one.from_client(FileInfoAck(8, 0, one.stamp()), 1)
    assert [sent.message.file_id for sent in one.wait(GRTT_NS)] == [7, 8]


def test_maps_of_what_is_missing_are_united_and_as_long_as_a_block() -> None:
    one = bench()
    one.from_client(Status(7, 0, bytes((0b0001, 0, 1))), 1)
    one.from_client(Status(7, 0, bytes((0b1010,))), 2)
    (sent,) = one.wait(GRTT_NS)
    assert sent.message == Status(7, 0, bytes((0b1011, 0, 1)).ljust(BLOCK_BYTES, b"\0"))
    assert one.notes("uftp-status-out")[0].fields == (4, 0)


def test_a_map_begins_behind_the_extensions_of_its_message() -> None:
    one = bench()
    one.from_client(Status(7, 0, b"\x01", (ack(1),)), 1)
    (sent,) = one.wait(GRTT_NS)
    assert sent.message.naks[:2] == b"\x01\0"


def test_a_map_longer_than_a_block_is_cut() -> None:
    one = bench()
    one.from_client(Status(7, 0, bytes(BLOCK_BYTES) + b"\xff"), 1)
    (sent,) = one.wait(GRTT_NS)
    assert sent.message.naks == bytes(BLOCK_BYTES)


def test_the_feedback_of_the_receiver_that_limits_the_most_goes_with_the_map() -> None:
    one = bench()
    one.from_client(Status(7, 0, b"\x01", (ack(1, 9_000),)), 1)
    one.from_client(Status(7, 0, b"\x01", (ack(2, 100, at=Timestamp(5, 10)),)), 2)
    one.from_client(Status(7, 0, b"\x01", (ack(3, 500),)), 3)
    (sent,) = one.wait(GRTT_NS)
    (extension,) = sent.message.extensions
    assert extension.client_id == 2
    assert extension.timestamp == Timestamp(5, 10).later(GRTT_NS // 1_000)


def test_the_servers_chosen_receiver_comes_before_slower_ones() -> None:
    one = bench()
    one.from_client(Status(7, 0, b"\x01", (ack(1, 100),)), 1)
    one.from_client(Status(7, 0, b"\x01", (ack(2, 900, CongestionFlag.CLR),)), 2)
    (sent,) = one.wait(GRTT_NS)
    assert sent.message.extensions[0].client_id == 2


def test_completions_go_up_by_status() -> None:
    one = bench()
    for uid, status in ((1, 0), (2, CompleteStatus.SKIPPED), (3, 0)):
        one.from_client(Complete(7, status), uid)
    first, second = one.wait(GRTT_NS)
    assert first.message == Complete(7, 0, (1, 3))
    assert second.message == Complete(7, CompleteStatus.SKIPPED, (2,))


def test_the_free_space_of_a_client_is_kept_and_not_mixed_with_anothers() -> None:
    one = bench()
    for uid, space in ((1, 10), (2, 20), (3, 10)):
        one.from_client(Complete(7, 0, extensions=(FreeSpace(space),)), uid)
    first, second = one.wait(GRTT_NS)
    assert first.message == Complete(7, 0, (1, 3), (FreeSpace(10),))
    assert second.message == Complete(7, 0, (2,), (FreeSpace(20),))


def test_a_message_is_sent_when_it_lists_as_many_as_fit() -> None:
    one = bench(*range(1, 6), block_bytes=16)
    assert [len(one.from_client(Complete(0, 0), uid)) for uid in range(1, 6)] == [0, 0, 0, 1, 0]


def test_an_eleventh_section_sends_the_first_ten_at_once() -> None:
    one = bench()
    for section in range(10):
        assert one.from_client(Status(7, section, b"\x01"), 1) == []
    assert [sent.message.section for sent in one.from_client(Status(7, 10, b"\x01"), 1)] == list(range(10))
    assert [sent.message.section for sent in one.wait(GRTT_NS)] == [10]


def test_everything_goes_one_round_trip_after_the_first_of_any_kind() -> None:
    one = bench()
    one.from_client(FileInfoAck(7, 0, one.stamp()), 1)
    assert one.wait(GRTT_NS - 1) == []
    one.from_client(Complete(7, 0), 2)
    assert [sent.header.function for sent in one.wait(1)] == [Function.FILEINFO_ACK, Function.COMPLETE]


def test_sequence_numbers_count_the_proxys_own_messages() -> None:
    one = bench()
    for expected in (1, 2, 3):
        one.from_client(Complete(7, 0), 1)
        assert [sent.header.sequence for sent in one.wait(GRTT_NS)] == [expected]


@pytest.mark.parametrize("flags", [0, CURRENT_FILE])
def test_a_client_that_gives_up_is_named_to_the_server_whatever_it_says_itself(flags: int) -> None:
    one = bench()
    (sent,) = one.from_client(Abort(99, b"no room", flags), 2)
    assert (sent.to, sent.header.source_id) == (SERVER, one.uid)
    assert sent.message == Abort(2, b"no room", flags)


def test_congestion_feedback_of_a_plain_group_goes_up_as_it_came() -> None:
    one = bench()
    (sent,) = one.from_client(CongestionAck((ack(1),)), 1, CLIENT)
    assert sent.to == SERVER
    assert (sent.header.source_id, sent.message) == (1, CongestionAck((ack(1),)))


@pytest.mark.parametrize("spec", [(4, 3, 1, 1), (6, 3, 3, 1), (4, 3, 2, 3, True)])
def test_congestion_feedback_of_an_encrypted_group_goes_up_under_the_proxys_uid(spec: tuple[int, ...]) -> None:
    cipher = make_cipher(*spec)
    scene = chain(2, cipher=cipher, ring=make_ring(cipher))
    assert scene.run()
    scene.clients[0].say(CongestionAck((ack(scene.clients[0].uid),)))
    scene.world.run(scene.world.now_ns + GRTT_NS)
    head, message = scene.server.heard[-1]
    assert head.source_id == scene.below.settings.uid
    assert head.function == Function.ENCRYPTED
    assert message == CongestionAck((ack(scene.clients[0].uid),))


def test_an_encrypted_transfer_is_answered_under_the_proxys_uid_and_sealed() -> None:
    cipher = make_cipher(4, 3, 1, 1)
    scene = chain(2, cipher=cipher, ring=make_ring(cipher))
    assert scene.run()
    sealed = [message for head, message in scene.server.heard if head.function == Function.ENCRYPTED]
    kinds = {type(message).__name__ for message in sealed}
    assert {"KeyInfoAck", "FileInfoAck", "Complete"} <= kinds
    in_the_clear = {head.function for head, _ in scene.server.heard} - {Function.ENCRYPTED}
    assert in_the_clear == {Function.REGISTER}

"""The swarm beside the single scripted client: they say the same, and everything in its time."""

from __future__ import annotations

from tests.kit.uftp_scene import SERVER, SERVER_UID
from tests.kit.uftp_server import Server
from tests.kit.uftp_swarm import Swarm
from tests.kit.uftp_world import PUBLIC, SECOND, World
from workers.uftp import header, messages
from workers.uftp.finish import Complete, Done, Status
from workers.uftp.header import Function
from workers.uftp.register import RegConf, Register
from workers.uftp.timestamp import Timestamp
from workers.uftp.transfer import FileInfo, FileInfoAck, FileSeg


class Talk:
    """A server that says what the test wants; what it sends is heard by the swarm."""

    def __init__(self, count: int) -> None:
        self.world = World()
        self.server = Server(self.world, SERVER, SERVER_UID, frozenset(), grtt_s=0.1)
        self.swarm = Swarm(count)

    def announce(self) -> None:
        self.server.announce()
        self._tell()

    def say(self, message: object) -> None:
        self.server.send(message, PUBLIC)
        self._tell()

    def _tell(self) -> None:
        self.swarm.hear(self.world.sent[-1][2], self.world.now_ns)

    def answers(self, seconds: float = 0.11) -> list[tuple[int, object]]:
        """Let time pass; return who has said what."""
        self.world.run(self.world.now_ns + int(seconds * SECOND))
        found = self.swarm.due(self.world.now_ns, 1000)
        return [(head.source_id, messages.decode(head, said[16:])) for said in found if (head := header.decode(said))]


def test_everybody_registers_within_the_grtt_and_again_until_taken_in() -> None:
    talk = Talk(5)
    talk.announce()
    first = talk.answers()
    assert sorted(uid for uid, message in first if isinstance(message, Register)) == list(talk.swarm.uids)
    talk.say(RegConf(tuple(talk.swarm.uids[:3])))
    assert sorted(uid for uid, _ in talk.answers(0.5)) == list(talk.swarm.uids[3:])


def test_answers_are_not_all_given_at_once() -> None:
    talk = Talk(50)
    talk.announce()
    assert 0 < len(talk.answers(0.05)) < 50
    assert len(talk.swarm.due(talk.world.now_ns + SECOND, 7)) == 7


def test_one_in_a_hundred_misses_a_block_once() -> None:
    talk = Talk(200)
    talk.announce()
    uids = tuple(talk.swarm.uids)
    talk.say(FileInfo(1, 0, 400, 0, Timestamp(), b"file", uids=uids))
    talk.answers(1)
    for block in range(3):
        talk.say(FileSeg(1, 0, block, b"x"))
    talk.say(Done(1, 0, uids))
    kinds = {uid: message for uid, message in talk.answers() if not isinstance(message, FileInfoAck)}
    naks = {uid: message.naks for uid, message in kinds.items() if isinstance(message, Status)}
    assert naks == {uids[0]: b"\1", uids[100]: b"\2"}
    talk.say(FileSeg(1, 0, 0, b"x"))
    talk.say(Done(1, 0, uids[:101:100]))
    assert {uid: type(message) for uid, message in talk.answers()} == {uids[0]: Complete, uids[100]: Status}


def test_who_is_not_asked_says_nothing() -> None:
    talk = Talk(3)
    talk.announce()
    talk.answers()
    talk.say(RegConf(tuple(talk.swarm.uids)))
    talk.say(Done(0, 0, (talk.swarm.uids[1], 99)))
    assert [uid for uid, _ in talk.answers(1)] == [talk.swarm.uids[1]]
    assert talk.server.heard == []
    assert header.decode(talk.world.sent[-1][2]).function == Function.DONE

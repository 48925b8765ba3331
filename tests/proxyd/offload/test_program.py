"""The program on hand-made frames, in the kernel itself: what it lets pass, counts, readdresses, and leaves alone."""

from __future__ import annotations

import dataclasses
import os
import struct
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyd.offload import kernel
from proxyd.offload.kernel import MAPPABLE, ON_DEMAND, TableKind
from proxyd.offload.program import FLOW, LAYOUTS, assemble
from tests.proxyd.offload.frames import LOOPBACK, Datagram, Outcome, renumbered, requires_tcx, run
from workers.contract.offload import (
    BYTES,
    BYTES_LIMIT,
    DATAGRAMS,
    DATAGRAMS_LIMIT,
    DIRECTION_BYTES,
    EPOCH,
    LAST_NS,
    RECORD_BYTES,
    WORD_BYTES,
    Records,
)
from workers.wire.sockaddr import ADDRESS_BYTES

pytestmark = requires_tcx
NEXT, REDIRECTED = -1, 7
WORKERS, SLOTS = 2, 3
EPOCH_NOW = (1 << 40) + 7
MANY = 1 << 59
TTL = 61

HERE = {4: ("192.0.2.7", "192.0.2.1"), 6: ("2001:db8:1::7", "2001:db8:1::1")}
"""The addresses of a client, and of ours that it writes to."""
THERE = {4: ("198.51.100.1", "198.51.100.9"), 6: ("2001:db8:2::1", "2001:db8:2::9")}
"""Our address towards the server, and the server's."""
CLIENT_PORT, OUR_PORT, LOCAL_PORT, SERVER_PORT = 40_001, 5300, 50_321, 53
VERSIONS = pytest.mark.parametrize("version", LAYOUTS)


def asked(version: int = 4, **changes: object) -> Datagram:
    """Return what a client sends."""
    return dataclasses.replace(Datagram(*HERE[version], CLIENT_PORT, OUR_PORT), **changes)  # type: ignore[arg-type]


def readdressed(datagram: Datagram) -> Datagram:
    """Return it as the server is to get it."""
    return datagram.leaving(*THERE[datagram.version], LOCAL_PORT, SERVER_PORT, TTL)


class Flow(NamedTuple):
    """A flow's entry, without its addresses."""

    worker: int = 1
    slot: int = 2
    epoch: int = EPOCH_NOW
    direction: int = 0
    leave_by: int = 0
    longest: int = 65_535
    ttl: int = TTL


class Bench:
    """A program of one IP version with its tables."""

    def __init__(self, version: int) -> None:
        layout = LAYOUTS[version]
        self.version = version
        arrays = [kernel.make_table(TableKind.ARRAY, 4, RECORD_BYTES, SLOTS, flags=MAPPABLE) for _ in range(WORKERS)]
        self.records = [Records(array, SLOTS) for array in arrays]
        whole = kernel.make_table(TableKind.ARRAY_OF_TABLES, 4, 4, WORKERS, inner=arrays[0])
        for worker, array in enumerate(arrays):
            kernel.put(whole, struct.pack("=I", worker), struct.pack("=I", array))
        value = FLOW.size + 2 * layout.address_bytes + 4
        self.flows = kernel.make_table(TableKind.HASH, layout.key_bytes, value, 64, flags=ON_DEMAND)
        self.program = kernel.load_program(assemble(version, self.flows, whole))
        self._open = [*arrays, whole, self.flows, self.program]

    def know(self, flow: Flow, datagram: Datagram, interface: int = LOOPBACK) -> None:
        """Enter the flow of a datagram; its record lets much pass."""
        self.enter(flow, datagram, interface)
        self.permit(flow)

    def enter(self, flow: Flow, datagram: Datagram, interface: int = LOOPBACK) -> None:
        leaving = readdressed(datagram).frame()
        kernel.put(self.flows, self._key(datagram, interface), FLOW.pack(*flow) + self._ends(leaving))

    def permit(self, flow: Flow, datagrams: int = MANY, octets: int = MANY, epoch: int = EPOCH_NOW) -> None:
        words, start = self._place(flow)
        words[flow.slot * RECORD_BYTES // WORD_BYTES + EPOCH // WORD_BYTES] = epoch
        words[start + DATAGRAMS_LIMIT // WORD_BYTES] = datagrams
        words[start + BYTES_LIMIT // WORD_BYTES] = octets

    def counted(self, flow: Flow) -> tuple[int, int]:
        """Return datagrams and bytes."""
        words, start = self._place(flow)
        return words[start + DATAGRAMS // WORD_BYTES], words[start + BYTES // WORD_BYTES]

    def last_ns(self, flow: Flow) -> int:
        words, start = self._place(flow)
        return words[start + LAST_NS // WORD_BYTES]

    def run(self, datagram: Datagram, **train: int) -> Outcome:
        """Run the program on a datagram; one that it has changed gets its identification back."""
        frame = datagram.frame()
        answer, after = run(self.program, frame, **train)
        return Outcome(answer, after if self.version == 6 or after == frame else renumbered(after))

    def clear(self) -> None:
        """Forget all flows and all counts."""
        for records in self.records:
            for word in range(SLOTS * RECORD_BYTES // WORD_BYTES):
                records.words[word] = 0

    def close(self) -> None:
        for records in self.records:
            records.unmap()
        for descriptor in self._open:
            os.close(descriptor)

    def _place(self, flow: Flow) -> tuple[memoryview, int]:
        start = flow.slot * RECORD_BYTES + flow.direction * DIRECTION_BYTES
        return self.records[flow.worker].words, start // WORD_BYTES

    def _key(self, datagram: Datagram, interface: int) -> bytes:
        return self._ends(datagram.frame()) + struct.pack("=I", interface)

    def _ends(self, frame: bytes) -> bytes:
        """Return addresses and ports of a frame without options."""
        size = ADDRESS_BYTES[self.version]
        first = 26 if self.version == 4 else 22
        return frame[first : first + 2 * size + 4]


@pytest.fixture(scope="module")
def benches() -> Iterator[dict[int, Bench]]:
    benches = {version: Bench(version) for version in LAYOUTS}
    yield benches
    for bench in benches.values():
        bench.close()


@pytest.fixture
def bench(benches: dict[int, Bench], request: pytest.FixtureRequest) -> Bench:
    """The version's, if the test has one, with nothing counted so far."""
    version = request.getfixturevalue("version") if "version" in request.fixturenames else 4
    benches[version].clear()
    return benches[version]


@VERSIONS
def test_a_datagram_of_a_known_flow_is_readdressed_and_counted(bench: Bench, version: int) -> None:
    flow, datagram = Flow(), asked(version, payload=b"eleven byte", mark=0x2E, flow_label=0x12345 * (version == 6))
    bench.know(flow, datagram)
    before = time.monotonic_ns()
    assert bench.run(datagram) == (NEXT, readdressed(datagram).frame())
    assert before <= bench.last_ns(flow) <= time.monotonic_ns()
    assert bench.run(datagram).frame == readdressed(datagram).frame()
    assert bench.counted(flow) == (2, 22)


def test_a_datagram_leaves_such_that_it_can_be_fragmented(bench: Bench) -> None:
    datagram = asked(4, fragment=0x4000)
    bench.know(Flow(), datagram)
    frames = [run(bench.program, datagram.frame()).frame for _ in range(20)]
    assert {frame[20:22] for frame in frames} == {b"\0\0"}
    assert len({frame[18:20] for frame in frames}) > 1


@VERSIONS
def test_the_answers_are_counted_in_the_other_half_of_the_record(bench: Bench, version: int) -> None:
    flow, datagram = Flow(direction=1), asked(version)
    bench.know(flow, datagram)
    bench.run(datagram)
    assert bench.counted(flow) == (1, 7)
    assert bench.counted(flow._replace(direction=0)) == (0, 0)
    assert bench.last_ns(flow._replace(direction=0)) == 0


@VERSIONS
def test_what_is_for_another_machine_is_redirected(bench: Bench, version: int) -> None:
    datagram = asked(version)
    bench.know(Flow(leave_by=LOOPBACK), datagram)
    assert bench.run(datagram) == (REDIRECTED, readdressed(datagram).frame())


@VERSIONS
@pytest.mark.parametrize("where", ["worker", "slot"])
def test_each_session_has_a_record_of_its_own(bench: Bench, version: int, where: str) -> None:
    one, other = Flow(worker=0, slot=1), Flow(worker=0, slot=1)._replace(**{where: 0 if where == "slot" else 1})
    first, second = asked(version), asked(version, source_port=40_002)
    bench.know(one, first)
    bench.know(other, second)
    bench.run(first)
    bench.run(second)
    bench.run(second)
    assert [bench.counted(flow) for flow in (one, other)] == [(1, 7), (2, 14)]


def test_a_datagram_without_checksum_stays_without_one(bench: Bench) -> None:
    datagram = asked(udp_sum=0)
    bench.know(Flow(), datagram)
    assert bench.run(datagram) == (NEXT, readdressed(datagram).frame())


@VERSIONS
def test_a_checksum_that_comes_to_nothing_is_written_as_all_ones(bench: Bench, version: int) -> None:
    # The payload's first two bytes are chosen so that the sum of what leaves is 0, which would say: none.
    without = readdressed(asked(version, payload=b"\0\0")).frame()
    datagram = asked(version, payload=without[-4:-2])
    bench.know(Flow(), datagram)
    frame = bench.run(datagram).frame
    assert frame[-4:-2] == b"\xff\xff"
    assert frame == readdressed(datagram).frame()


@VERSIONS
def test_a_wrong_checksum_stays_wrong(bench: Bench, version: int) -> None:
    right = asked(version)
    (value,) = struct.unpack_from("!H", right.frame(), LAYOUTS[version].udp + 6)
    datagram = asked(version, udp_sum=value ^ 0x0100)
    bench.know(Flow(), datagram)
    assert bench.run(datagram).frame != readdressed(right).frame()


# --- limits ----------------------------------------------------------------------------------------------------------


@VERSIONS
@pytest.mark.parametrize(("datagrams", "octets"), [(2, MANY), (MANY, 14), (2, 14)])
def test_a_limit_is_reached_exactly_and_what_goes_beyond_is_not_counted(
    bench: Bench, version: int, datagrams: int, octets: int
) -> None:
    flow, datagram = Flow(), asked(version)
    bench.know(flow, datagram)
    bench.permit(flow, datagrams, octets)
    sent = readdressed(datagram).frame()
    assert [bench.run(datagram).frame == sent for _ in range(4)] == [True, True, False, False]
    assert bench.run(datagram) == (NEXT, datagram.frame())
    assert bench.counted(flow) == (2, 14)


def test_a_smaller_datagram_passes_where_a_larger_one_did_not(bench: Bench) -> None:
    flow, large, small = Flow(), asked(payload=bytes(10)), asked(payload=bytes(9))
    bench.know(flow, large)
    bench.permit(flow, MANY, 9)
    last = bench.last_ns(flow)
    assert bench.run(large) == (NEXT, large.frame())
    assert bench.last_ns(flow) == last
    assert bench.run(small).frame == readdressed(small).frame()
    assert bench.counted(flow) == (1, 9)


# --- trains ----------------------------------------------------------------------------------------------------------


@VERSIONS
def test_a_train_counts_as_its_datagrams(bench: Bench, version: int) -> None:
    flow, train = Flow(), asked(version, payload=bytes(250))
    bench.know(flow, train)
    assert bench.run(train, segments=3, segment_bytes=100).frame == readdressed(train).frame()
    assert bench.counted(flow) == (3, 250)


@pytest.mark.parametrize(("datagrams", "octets"), [(2, MANY), (MANY, 249)])
def test_a_train_that_goes_beyond_a_limit_passes_as_a_whole_or_not_at_all(
    bench: Bench, datagrams: int, octets: int
) -> None:
    flow, train = Flow(), asked(payload=bytes(250))
    bench.know(flow, train)
    bench.permit(flow, datagrams, octets)
    assert bench.run(train, segments=3, segment_bytes=100) == (NEXT, train.frame())
    assert bench.counted(flow) == (0, 0)


def test_a_train_of_an_unknown_number_of_datagrams_is_left_alone(bench: Bench) -> None:
    flow, train = Flow(), asked(payload=bytes(250))
    bench.know(flow, train)
    assert bench.run(train, segments=0, segment_bytes=100) == (NEXT, train.frame())
    assert bench.counted(flow) == (0, 0)


@VERSIONS
@pytest.mark.parametrize("segments", [0, 3])
def test_what_is_too_long_for_the_way_out_is_left_alone(bench: Bench, version: int, segments: int) -> None:
    datagram = asked(version, payload=bytes(100 if not segments else 250))
    train = {"segments": segments, "segment_bytes": 100} if segments else {}
    length = 100 + 8 + (20 if version == 4 else 40)
    flow = Flow(longest=length - 1)
    bench.know(flow, datagram)
    assert bench.run(datagram, **train) == (NEXT, datagram.frame())
    assert bench.counted(flow) == (0, 0)
    bench.know(flow._replace(longest=length), datagram)
    assert bench.run(datagram, **train).frame == readdressed(datagram).frame()


# --- what is none of its business ------------------------------------------------------------------------------------


def untouched(bench: Bench, frames: Sequence[bytes], flow: Flow) -> None:
    for frame in frames:
        assert run(bench.program, frame) == (NEXT, frame)
    assert bench.counted(flow) == (0, 0)
    assert bench.last_ns(flow) == 0


ODD = {
    4: {
        "the first fragment": {"fragment": 0x2000},
        "a later fragment": {"fragment": 0x0001},
        "the last fragment": {"fragment": 0x1FFF},
        "options": {"options": b"\x94\x04\0\0"},
        "lengths of less than a header": {"udp_length": 7, "ip_length": 27},
        "lengths beyond the frame": {"udp_length": 16, "ip_length": 36},
    },
    6: {
        "a hop-by-hop header": {"options": b"\x11\0\x05\x02\0\0\0\0", "protocol": 0},
        "a fragment header": {"options": b"\x11\0\0\1\0\0\0\1", "protocol": 44},
        "lengths of less than a header": {"udp_length": 7, "ip_length": 7},
        "lengths beyond the frame": {"udp_length": 16, "ip_length": 16},
        "a routing header": {"options": b"\x11\0\4\0\0\0\0\0", "protocol": 43},
    },
}
WRONG = {
    "another protocol": {"protocol": 6},
    "another port": {"destination_port": 5301},
    "another client port": {"source_port": 40_009},
    "lengths of less": {"udp_length": 14},
    "lengths of more": {"udp_length": 16},
    "an IP length of less": {"ip_length": 14},
    "an IP length of more": {"ip_length": 100},
}


@pytest.mark.parametrize(
    ("version", "changes"),
    [
        pytest.param(version, changes, id=f"{version}-{name}")
        for version in LAYOUTS
        for name, changes in (ODD[version] | WRONG).items()
    ],
)
def test_what_is_no_plain_datagram_of_the_flow_is_left_alone(
    bench: Bench, version: int, changes: dict[str, object]
) -> None:
    bench.know(Flow(), asked(version))
    untouched(bench, [asked(version, **changes).frame()], Flow())


@VERSIONS
def test_a_tagged_frame_is_left_alone(bench: Bench, version: int) -> None:
    frame = asked(version).frame()
    bench.know(Flow(), asked(version))
    untouched(bench, [frame[:12] + struct.pack("!HH", 0x8100, 5) + frame[12:]], Flow())


@VERSIONS
def test_what_is_for_another_station_is_left_alone(bench: Bench, version: int) -> None:
    frame = asked(version).frame()
    bench.know(Flow(), asked(version))
    untouched(bench, [b"\x02\0\0\0\0\1" + frame[6:], b"\xff" * 6 + frame[6:], b"\1\0\x5e\0\0\1" + frame[6:]], Flow())


@VERSIONS
def test_a_frame_that_ends_within_its_headers_is_left_alone(bench: Bench, version: int) -> None:
    frame = asked(version).frame()
    bench.know(Flow(), asked(version))
    whole = LAYOUTS[version].udp + 8
    untouched(bench, [frame[:end] for end in range(whole - 8, whole)], Flow())


@VERSIONS
def test_what_follows_the_datagram_in_its_frame_does_not_count(bench: Bench, version: int) -> None:
    padded = asked(version, padding=bytes(11))
    bench.know(Flow(), padded)
    assert bench.run(padded) == (NEXT, readdressed(padded).frame())
    assert bench.counted(Flow()) == (1, 7)


@VERSIONS
@pytest.mark.parametrize("epoch", [0, EPOCH_NOW - 1, EPOCH_NOW + 1, EPOCH_NOW & 0xFFFF_FFFF, EPOCH_NOW + (1 << 32)])
def test_a_flow_of_another_session_of_the_slot_is_left_alone(bench: Bench, version: int, epoch: int) -> None:
    bench.know(Flow(), asked(version))
    bench.permit(Flow(), epoch=epoch)
    untouched(bench, [asked(version).frame()], Flow())


@VERSIONS
def test_a_flow_of_another_interface_is_left_alone(bench: Bench, version: int) -> None:
    datagram = asked(version, source_port=40_010)
    bench.know(Flow(), datagram, interface=LOOPBACK + 1)
    untouched(bench, [datagram.frame()], Flow())


@pytest.mark.parametrize("flow", [Flow(worker=WORKERS), Flow(slot=SLOTS), Flow(worker=2**32 - 1), Flow(slot=2**32 - 1)])
def test_a_flow_without_a_record_is_left_alone(bench: Bench, flow: Flow) -> None:
    bench.know(Flow(), asked())
    bench.enter(flow, asked())
    untouched(bench, [asked().frame()], Flow())


@VERSIONS
def test_what_is_of_the_other_version_is_left_alone(benches: dict[int, Bench], version: int) -> None:
    frame = asked(10 - version, payload=bytes(40)).frame()
    assert run(benches[version].program, frame) == (NEXT, frame)


# --- any frame -------------------------------------------------------------------------------------------------------


@given(version=st.sampled_from(sorted(LAYOUTS)), rest=st.binary(min_size=40, max_size=200), typed=st.booleans())
def test_a_frame_of_no_flow_is_never_changed(benches: dict[int, Bench], version: int, rest: bytes, typed: bool) -> None:
    start = asked(version).frame()[: 15 if typed else 12]
    assert run(benches[version].program, start + rest) == (NEXT, start + rest)


@VERSIONS
@pytest.mark.parametrize("bits", [0x01, 0x02, 0x10, 0x20, 0x40, 0x80])
def test_a_datagram_with_one_odd_byte_is_readdressed_or_left_alone_as_a_whole(
    bench: Bench, version: int, bits: int
) -> None:
    datagram = asked(version)
    whole, count = datagram.frame(), 0
    bench.know(Flow(), datagram)
    for place in range(LAYOUTS[version].udp + 8):
        frame = whole[:place] + bytes((whole[place] ^ bits,)) + whole[place + 1 :]
        answer, after = run(bench.program, frame)
        assert answer == NEXT
        if is_plain(version, frame) and ends(version, frame) == ends(version, whole):
            count += 1
            assert ends(version, after) == ends(version, readdressed(datagram).frame())
        else:
            assert after == frame, place
        assert bench.counted(Flow()) == (count, 7 * count)


@given(version=st.sampled_from(sorted(LAYOUTS)), payload=st.binary(max_size=64), mark=st.integers(0, 255))
def test_whatever_it_holds_a_datagram_of_a_flow_leaves_as_the_proxy_would_send_it(
    benches: dict[int, Bench], version: int, payload: bytes, mark: int
) -> None:
    bench, datagram = benches[version], asked(version, payload=payload, mark=mark, ttl=1 + mark // 2)
    bench.clear()
    bench.know(Flow(), datagram)
    assert bench.run(datagram) == (NEXT, readdressed(datagram).frame())
    assert bench.counted(Flow()) == (1, len(payload))


def ends(version: int, frame: bytes) -> bytes:
    return frame[26:38] if version == 4 else frame[22:58]


def is_plain(version: int, frame: bytes) -> bool:
    """Tell whether it is a datagram for us that lies in one packet without anything between its headers: the twin."""
    (kind,) = struct.unpack_from("!H", frame, 12)
    if any(frame[:6]) or kind != LAYOUTS[version].protocol:
        return False
    if version == 4:
        length, _, fragment, _, protocol = struct.unpack_from("!HHHBB", frame, 16)
        plain = frame[14] == 0x45 and not fragment & 0x3FFF
        length -= 20
    else:
        length, protocol = struct.unpack_from("!HB", frame, 18)
        plain = frame[14] >> 4 == 6
    udp = LAYOUTS[version].udp
    (octets,) = struct.unpack_from("!H", frame, udp + 4)
    return plain and protocol == 17 and 8 <= octets == length <= len(frame) - udp

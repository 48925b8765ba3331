"""Whoever passes a session's datagrams, the kernel or its worker: all are counted, and no limit is exceeded."""

from __future__ import annotations

from dataclasses import dataclass, field
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from tests.kit.session_parts import SECOND, rule
from tests.workers.offload_scene import DUMPING, IN, OUT, SLOTS, USUAL, Scene
from workers.contract.slots import CloseReason
from workers.offload import PAUSE_NS
from workers.session.session import Session

STEPS = ("out", "out", "in", "in", "sweep", "sweep", "touch", "reclaim", "tend", "tend", "crowded", "renew", "level")
LIMITS: tuple[dict[str, int], ...] = (
    {},
    {"max_dgrams_out": 300},
    {"max_dgrams_in": 260, "max_dgrams_out": 400},
    {"max_bytes_in": 300_000},
    {"both_ns": SECOND},
)


@dataclass
class Truth:
    """What has really passed of a session: datagrams and bytes, out and in."""

    session: Session
    datagrams: list[int] = field(default_factory=lambda: [0, 0])
    octets: list[int] = field(default_factory=lambda: [0, 0])

    def holds(self) -> None:
        session = self.session
        assert (session.dgrams_out, session.dgrams_in) == tuple(self.datagrams)
        assert (session.bytes_out, session.bytes_in) == tuple(self.octets)
        left = session.dgrams_out_left, session.dgrams_in_left, session.bytes_out_left, session.bytes_in_left
        assert min(left) >= 0


class Model(Scene):
    """A worker's datapath in a few lines beside the kernel: whoever passes a datagram, it is noted as the truth."""

    def __init__(self, limits: list[int]) -> None:
        super().__init__()
        self.rules = [rule(**LIMITS[number]) for number in limits]
        self.truths = [Truth(self.begin(slot, self.rules[slot], busy=False)) for slot in range(SLOTS)]
        self.over: list[Truth] = []
        self.old: list[tuple[int, int]] = []
        self.worker_passed = 0

    def step(self, what: str, slot: int, amount: int) -> None:
        truth, session = self.truths[slot], self.truths[slot].session
        self.now_ns += PAUSE_NS // 2
        if what in ("out", "in"):
            self.arrive(truth, OUT if what == "out" else IN, amount)
        elif what == "sweep":
            self.offload.sweep([truth.session for truth in self.truths], self.now_ns - 10 * PAUSE_NS)
        elif what == "touch":
            self.offload.touch(session)
        elif what == "reclaim":
            self.offload.reclaim(session)
            truth.holds()
        elif what == "renew":
            self.end(slot)
            self.truths[slot] = Truth(self.begin(slot, self.rules[slot], busy=False))
        elif what == "level":
            self.log.level = DUMPING if amount % 3 == 0 else USUAL
        else:
            self.parent.room = what == "tend"
            self.offload.tend(self.now_ns)
        self.old += [item for item in self.parent.entered.items() if item not in self.old]
        assert self.offload.count == sum(
            truth.session.carriage is not None and truth.session.carriage.epoch != 0 for truth in self.truths
        )

    def arrive(self, truth: Truth, direction: int, amount: int) -> None:
        """Let datagrams come: what the kernel does not pass the worker does, as far as the limits allow."""
        session, octets = truth.session, 10 * amount
        for stale in [epoch for slot, epoch in self.old if slot == session.slot]:
            carriage = session.carriage
            if carriage is None or stale != carriage.epoch:
                assert not self.passes(session.slot, direction, octets, epoch=stale)
        for _ in range(amount):
            if not self.passes(session.slot, direction, octets):
                if self.now_ns >= session.check_ns:
                    self.offload.touch(session)
                if not self.pass_here(session, direction, octets):
                    return
            truth.datagrams[direction] += 1
            truth.octets[direction] += octets

    def pass_here(self, session: Session, direction: int, octets: int) -> bool:
        way = "out" if direction == OUT else "in"
        datagrams, total = getattr(session, f"dgrams_{way}_left"), getattr(session, f"bytes_{way}_left")
        if datagrams < 1 or total < octets:
            return False
        setattr(session, f"dgrams_{way}_left", datagrams - 1)
        setattr(session, f"bytes_{way}_left", total - octets)
        setattr(session, f"last_{way}_ns", self.now_ns)
        self.worker_passed += 1
        return True

    def end(self, slot: int) -> None:
        truth = self.truths[slot]
        truth.session.closing = CloseReason.KILLED
        self.offload.reclaim(truth.session)
        truth.holds()
        self.over.append(truth)


@given(
    limits=st.lists(st.integers(0, len(LIMITS) - 1), min_size=SLOTS, max_size=SLOTS),
    steps=st.lists(
        st.tuples(st.sampled_from(STEPS), st.integers(0, SLOTS - 1), st.integers(1, 130)), min_size=10, max_size=60
    ),
)
def test_whoever_passes_it_everything_is_counted_and_no_limit_exceeded(
    limits: list[int], steps: list[tuple[str, int, int]]
) -> None:
    model = Model(limits)
    with patch.multiple("workers.offload", RUN_DATAGRAMS=5, RUN_BYTES=1_300, LAST_DATAGRAMS=2, LAST_BYTES=100):
        for step in steps:
            model.step(*step)
    for slot in range(SLOTS):
        model.end(slot)
    passed = sum(sum(truth.datagrams) for truth in model.over)
    assert model.stats.received_out + model.stats.received_in == passed - model.worker_passed
    assert model.stats.forwarded_out + model.stats.forwarded_in == passed - model.worker_passed
    model.parent.room = True
    model.offer()
    assert model.parent.entered == {}
    assert model.offload.count == 0
    model.records.unmap()

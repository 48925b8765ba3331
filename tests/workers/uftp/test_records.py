"""Records of groups: what was written is read, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.uftp import records
from workers.uftp.actions import GroupKey
from workers.uftp.downstream import ALIASES
from workers.uftp.groups import Progress, Terms
from workers.uftp.records import (
    ClientRecord,
    DamagedError,
    DownstreamRecord,
    GroupRecord,
    LegRecord,
    Secrets,
    ShownRecord,
    TermsRecord,
)

LEG = LegRecord((1, 2, 3), Secrets(bytes(32), bytes(48)), b"key", b"signature", None, settled=True)
TERMS = TermsRecord(1, bytes(16), 20, 0, 1300, 5, bytes(16), b"")


@pytest.mark.parametrize(
    "record", [LEG, TERMS, ClientRecord(3, 2, 1, LEG), ClientRecord(0, 1, 0, None), DownstreamRecord(bytes(20), [b"a"])]
)
def test_a_record_is_read_as_it_was_written(record: records.Struct) -> None:
    assert records.decode(records.encode(record), type(record)) == record


def test_a_record_of_the_same_fields_is_made_by_their_names_and_gives_them_back() -> None:
    terms = Terms(1, bytes(16), 20, 0, 1300, 5, bytes(16), b"")
    assert records.record_of(terms, TermsRecord) == TERMS
    assert Terms(**records.fields_of(TERMS)) == terms
    progress = Progress(1, 2, 3, 4, 5, 6, 7, b"name")
    shown = ShownRecord(1, 2, 3, 4, 5, 6, 7, b"name")
    assert records.record_of(progress, ShownRecord) == shown
    assert records.fields_of(shown) == {name: getattr(progress, name) for name in Progress.__slots__}


@given(data=st.binary(max_size=200))
def test_anything_else_is_damaged(data: bytes) -> None:
    with pytest.raises(DamagedError):
        records.decode(data, LegRecord)


@pytest.mark.parametrize(
    "record",
    [
        Secrets(bytes(31), bytes(48)),
        Secrets(bytes(32), bytes(49)),
        Secrets(bytes(32), bytes(19)),
    ],
)
def test_secrets_have_their_size(record: Secrets) -> None:
    with pytest.raises(DamagedError):
        records.decode(records.encode(record), Secrets)


def test_no_more_aliases_are_read_than_there_may_be() -> None:
    for aliases, fits in ((ALIASES * (bytes(4),), True), ((ALIASES + 1) * (bytes(4),), False), ((bytes(17),), False)):
        record = GroupRecord(records.VERSION, TERMS, 1, 1, 1, None, 0, 0, False, None, True, aliases)
        if fits:
            assert records.decode(records.encode(record), GroupRecord) == record
            continue
        with pytest.raises(DamagedError):
            records.decode(records.encode(record), GroupRecord)


def test_numbers_fit_the_wire() -> None:
    for record in (TermsRecord(1 << 32, b"", 1, 1, 1, 1, b"", b""), TermsRecord(1, b"", 256, 1, 1, 1, b"", b"")):
        with pytest.raises(DamagedError):
            records.decode(records.encode(record), TermsRecord)


@given(group_id=st.integers(0, 2**32 - 1), instance=st.integers(0, 255))
def test_a_groups_family_says_which_group_it_is(group_id: int, instance: int) -> None:
    key = GroupKey(group_id, instance)
    assert records.group_of(records.family_of(key)) == key


@pytest.mark.parametrize("family", [records.KEYS, records.JOINED, records.STATION, b"", b"gggg", b"x12345"])
def test_other_families_are_no_groups(family: bytes) -> None:
    assert records.group_of(family) is None


def test_clients_are_found_among_the_names() -> None:
    names = [records.SELF, records.SHOWN, records.name_of(7), records.name_of(2**32 - 1)]
    assert list(records.uids_in(iter(names))) == [7, 2**32 - 1]

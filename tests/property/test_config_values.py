"""Values are written so that they read the same, and sets agree with the plain reading of their members."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxyd.config.values import hosts, sets, words
from tests.proxyd.config.samples import element
from workers.contract.settings import (
    AddressRange,
    AnyHost,
    HostItem,
    HostList,
    HostMember,
    HostName,
    HostPattern,
    MaskedAddress,
)

MAPPED = range(0xFFFF << 32, 0x1_0000 << 32)


def ranges(version: int) -> st.SearchStrategy[AddressRange]:
    top = 2 ** hosts.BITS[version] - 1
    ends = st.tuples(st.integers(0, top), st.integers(0, top)).map(sorted)
    return ends.map(lambda pair: AddressRange(version, *pair))


def networks(version: int) -> st.SearchStrategy[AddressRange]:
    bits = hosts.BITS[version]

    def build(address: int, length: int) -> AddressRange:
        first = address >> (bits - length) << (bits - length)
        return AddressRange(version, first, first + (1 << (bits - length)) - 1)

    return st.builds(build, st.integers(0, 2**bits - 1), st.integers(0, bits))


def masked() -> st.SearchStrategy[MaskedAddress]:
    def build(address: int, mask: int) -> MaskedAddress:
        return MaskedAddress(4, address & mask, mask)

    gaps = st.integers(0, 2**32 - 1).filter(lambda mask: (~mask & 0xFFFFFFFF) & ((~mask & 0xFFFFFFFF) + 1))
    return st.builds(build, st.integers(0, 2**32 - 1), gaps)


def is_not_mapped(item: HostItem) -> bool:
    return not (isinstance(item, AddressRange) and item.version == 6 and (item.first in MAPPED or item.last in MAPPED))


LEAVES: st.SearchStrategy[HostItem] = st.one_of(
    st.just(AnyHost()),
    *(make(version) for make in (ranges, networks) for version in (4, 6)),
    masked(),
    st.from_regex(r"[a-z]([a-z0-9-]{0,9}[a-z0-9])?(\.[a-z]{1,9}){0,3}", fullmatch=True).map(HostName),
    st.from_regex(r"[a-z./]([a-z./]|\[a/\]){0,9}", fullmatch=True).map(HostPattern),
).filter(is_not_mapped)


def members(items: st.SearchStrategy[HostItem]) -> st.SearchStrategy[HostList]:
    return st.lists(st.builds(HostMember, items, st.booleans()), max_size=5).map(tuple).map(HostList)


HOST_LISTS = members(st.recursive(LEAVES, members, max_leaves=12))


@given(HOST_LISTS)
def test_a_host_list_is_written_so_that_it_reads_the_same(host_list: HostList) -> None:
    assert hosts.HOST_SET.parse(element(hosts.show_hosts(host_list))) == host_list


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_a_string_is_written_so_that_it_reads_the_same(text: str) -> None:
    assert words.STRING.parse(element(words.STRING.show(text))) == text


DAYS = st.integers(1, 31)
PLAIN = st.one_of(DAYS.map(lambda day: (day, day)), st.tuples(DAYS, DAYS).map(lambda pair: (min(pair), max(pair))))
NESTED = st.recursive(
    st.lists(st.tuples(st.booleans(), PLAIN), max_size=4),
    lambda inner: st.lists(st.tuples(st.booleans(), st.one_of(PLAIN, inner)), max_size=4),
    max_leaves=8,
)


def written(nested: list[object]) -> str:
    parts = []
    for negated, item in nested:  # type: ignore[misc]
        text = written(item) if isinstance(item, list) else "{}-{}".format(*item)
        parts.append(f"! {text}" if negated else text)
    return f"{{ {', '.join(parts)} }}" if parts else "{ }"


def verdict(nested: list[object], day: int) -> bool | None:
    for negated, item in nested:  # type: ignore[misc]
        found = verdict(item, day) if isinstance(item, list) else True if item[0] <= day <= item[1] else None
        if negated and found:
            return False
        if not negated and found is not None:
            return found
    return None


@given(NESTED)
def test_a_set_of_numbers_agrees_with_the_plain_reading(nested: list[object]) -> None:
    bits = sets.DAY_SET.parse(element(written(nested)))
    assert sets.numbers(bits) == {day for day in range(1, 32) if verdict(nested, day)}
    assert sets.DAY_SET.parse(element(sets.DAY_SET.show(bits))) == bits

"""Whatever a message says comes back from its bytes; whatever bytes come, nothing but DecodeError comes of them."""

from __future__ import annotations

import contextlib
from dataclasses import fields
from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from tests.kit import captures
from tests.kit.examples import examples
from workers.errors import DecodeError
from workers.uftp import extensions, header, messages, timestamp
from workers.uftp.abort import Abort
from workers.uftp.announce import Announce, AnnounceFlag
from workers.uftp.congestion import CongestionAck, CongestionControl, CongestionItem
from workers.uftp.extensions import EncInfo, FreeSpace, TfmccAck, TfmccData, UnknownExtension
from workers.uftp.finish import Complete, Done, DoneConf, Status
from workers.uftp.framing import MAX_HEADER_BYTES
from workers.uftp.header import HEADER_BYTES, VERSION, Function, Header
from workers.uftp.heartbeat import HeartbeatRequest, HeartbeatResponse
from workers.uftp.keying import Encrypted, KeyEntry, KeyInfo, KeyInfoAck
from workers.uftp.messages import Unknown
from workers.uftp.proxykey import KeyRequest, ProxyKey
from workers.uftp.register import ClientKey, RegConf, Register
from workers.uftp.transfer import FileInfo, FileInfoAck, FileSeg


def bits(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << count) - 1)


def exactly(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


def words(most: int) -> st.SearchStrategy[bytes]:
    """Whole words of four bytes, at most so many."""
    return st.integers(0, most).flatmap(lambda count: exactly(4 * count))


byte, half, word, nibble = bits(8), bits(16), bits(32), bits(4)
stamps = st.builds(timestamp.Timestamp, word, word)
uid_lists = st.lists(word, max_size=6).map(tuple)
blobs = words(20)
unknown_extensions = st.builds(
    lambda number, raw: UnknownExtension(number, bytes((number, 1 + len(raw) // 4)) + b"\0\0" + raw),
    st.sampled_from(sorted(set(range(256)) - set(extensions.DECODERS))),
    words(5),
)
extension_lists = st.lists(
    st.one_of(
        st.builds(EncInfo, byte, nibble, nibble, byte, byte, exactly(32), blobs, blobs, blobs),
        st.builds(TfmccData, half, half, half),
        st.builds(TfmccAck, byte, half, half, word, stamps),
        st.builds(FreeSpace, bits(64)),
        unknown_extensions,
    ),
    max_size=2,
).map(tuple)


@st.composite
def announces(draw: st.DrawFn) -> Announce:
    flags = draw(byte)
    width = 16 if flags & AnnounceFlag.IPV6 else 4
    addresses = draw(exactly(width)), draw(exactly(width))
    rest = draw(extension_lists), draw(uid_lists)
    return Announce(flags, draw(byte), draw(byte), draw(half), draw(stamps), *addresses, *rest)


key_entries = st.lists(st.builds(KeyEntry, word, exactly(48)), max_size=3).map(tuple)
aborts = st.binary(max_size=300).map(lambda text: text.rstrip(b"\0"))
plain = st.one_of(
    announces(),
    st.builds(Register, stamps, exactly(32), blobs, uid_lists, extension_lists),
    st.builds(ClientKey, blobs, blobs, extension_lists),
    st.builds(RegConf, uid_lists, extension_lists),
    st.builds(KeyInfo, bits(64), key_entries, extension_lists),
    st.builds(KeyInfoAck, exactly(12), extension_lists),
    st.builds(FileInfo, half, byte, bits(48), word, stamps, words(20), words(20), uid_lists, extension_lists),
    st.builds(FileInfoAck, half, byte, stamps, uid_lists, extension_lists),
    st.builds(FileSeg, half, half, half, st.binary(max_size=99), extension_lists),
    st.builds(Done, half, half, uid_lists, extension_lists),
    st.builds(Status, half, half, st.binary(max_size=99), extension_lists),
    st.builds(Complete, half, byte, uid_lists, extension_lists),
    st.builds(DoneConf, uid_lists, extension_lists),
    st.builds(HeartbeatRequest, word, blobs, blobs, extension_lists),
    st.builds(HeartbeatResponse, byte, word, extension_lists),
    st.builds(KeyRequest, extension_lists),
    st.builds(ProxyKey, word, blobs, blobs, blobs, extension_lists),
    st.builds(Abort, word, aborts, byte, extension_lists),
    st.builds(
        CongestionControl,
        half,
        half,
        stamps,
        st.lists(st.builds(CongestionItem, word, byte, byte, half), max_size=4).map(tuple),
        extension_lists,
    ),
    st.builds(CongestionAck, extension_lists),
)
sealed = st.builds(Encrypted, bits(64), st.binary(max_size=99), st.binary(max_size=99))
unknown = st.builds(Unknown, st.sampled_from(sorted(set(range(256)) - set(Function))), st.binary(min_size=4))
headers = st.builds(Header, byte, word, word, byte, half, byte, byte)


def with_number(head: Header, function: int) -> Header:
    return Header(function, *(getattr(head, field.name) for field in fields(Header)[1:]))


@given(headers)
def test_a_header_comes_back_from_its_bytes(head):
    assert header.decode(head.encode() + bytes(4)) == head


@given(headers, plain | sealed | unknown)
def test_a_message_comes_back_from_its_bytes(head, message):
    head = with_number(head, messages.function_of(message))
    datagram = messages.encode(head, message)
    assert header.decode(datagram) == head
    assert messages.decode(head, memoryview(datagram)[HEADER_BYTES:]) == message


@given(plain)
def test_an_opened_message_comes_back_without_a_header(message):
    raw = message.encode()
    assert messages.decode_plain(raw) == message
    assert raw[1] * 4 <= MAX_HEADER_BYTES


@cache
def kept() -> list[bytes]:
    """Return a datagram of every function, length and header length that was captured."""
    found = {}
    for datagrams in captures.captures().values():
        for captured in datagrams:
            found.setdefault((captured.payload[1], captured.payload[17], len(captured.payload)), captured.payload)
    return list(found.values())


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return a real datagram with some bytes changed, near its beginning mostly, and cut or lengthened."""
    datagram = bytearray(draw(st.sampled_from(kept())))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, 60) | st.integers(0, len(datagram) - 1))
        datagram[place % len(datagram)] = draw(byte)
    end = draw(st.just(len(datagram)) | st.integers(0, len(datagram)))
    return bytes(datagram[:end]) + draw(st.just(b"") | st.binary(max_size=9))


@st.composite
def invented(draw: st.DrawFn) -> bytes:
    """Return bytes that look like a datagram as far as its number and header length."""
    function = draw(st.sampled_from(sorted(Function)))
    raw = draw(st.binary(max_size=120))
    return bytes((VERSION, function)) + draw(exactly(14)) + bytes((function, draw(st.integers(0, 30)))) + raw


@examples(333)
@given(mutated() | invented() | st.binary(max_size=80))
def test_nothing_but_a_decode_error_comes_of_any_bytes(datagram):
    with contextlib.suppress(DecodeError):
        head = header.decode(datagram)
        body = memoryview(datagram)[HEADER_BYTES:]
        message = messages.decode(head, body)
        # What reserved bytes said is lost, and nothing else: all is as long as it was, and means the same.
        again = messages.encode(head, message)
        assert len(again) == len(datagram)
        assert messages.decode(header.decode(again), again[HEADER_BYTES:]) == message


@given(mutated() | invented())
def test_an_opened_message_of_any_bytes_is_a_message_or_a_decode_error(datagram):
    with contextlib.suppress(DecodeError):
        messages.decode_plain(datagram[HEADER_BYTES:])


@given(st.sampled_from(kept()))
def test_every_cut_of_a_real_datagram_is_a_message_or_a_decode_error(datagram):
    for size in range(min(len(datagram), 400)):
        with contextlib.suppress(DecodeError):
            cut = datagram[:size]
            messages.decode(header.decode(cut), memoryview(cut)[HEADER_BYTES:])

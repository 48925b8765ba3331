"""Requests as they come, good ones and others: what is taken, what is refused, and nothing beyond its bound."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from proxyd.monitor.http import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_PARAMETERS,
    Answer,
    BadRequestError,
    find_head,
    is_local_name,
    parse_request,
    refusal,
    write_answer,
)

GOOD = (
    b"GET /api/v1/sessions?limit=5&client=10.0.0.0%2F8&x= HTTP/1.1\r\nHost: localhost:9\r\nAccept:  text/plain \r\n\r\n"
)


def head(line: str = "GET / HTTP/1.1", *headers: str) -> bytes:
    return "\r\n".join((line, *(headers or ("Host: x",)), "", "")).encode()


def refused(data: bytes) -> HTTPStatus:
    with pytest.raises(BadRequestError) as caught:
        parse_request(data)
    return caught.value.status


def test_a_request_is_taken_apart() -> None:
    request = parse_request(GOOD)
    assert (request.method, request.path) == ("GET", "/api/v1/sessions")
    assert request.query == {"limit": "5", "client": "10.0.0.0/8", "x": ""}
    assert request.headers == {"host": "localhost:9", "accept": "text/plain"}
    assert request.lasting


@pytest.mark.parametrize("length", range(len(GOOD)))
def test_a_head_is_found_when_all_of_it_is_there(length: int) -> None:
    assert find_head(GOOD[:length]) == 0
    assert find_head(GOOD + GOOD[:length]) == len(GOOD)


def test_a_head_beyond_its_bound_is_refused_before_it_is_read_whole() -> None:
    with pytest.raises(BadRequestError):
        find_head(b"G" * MAX_HEAD_BYTES)
    assert find_head(b"G" * (MAX_HEAD_BYTES - 1)) == 0


@pytest.mark.parametrize("line", ["GET / HTTP/1.0", "GET / HTTP/1.1"])
def test_a_connection_lasts_when_its_client_can_and_wants(line: str) -> None:
    assert parse_request(head(line)).lasting == line.endswith("1")
    assert not parse_request(head(line, "Host: x", "Connection: foo, Close")).lasting


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "get", ""])
def test_other_methods_are_not_allowed(method: str) -> None:
    assert refused(head(f"{method} / HTTP/1.1")) is HTTPStatus.METHOD_NOT_ALLOWED


@pytest.mark.parametrize(
    "data",
    [
        head("GET /"),
        head("GET  / HTTP/1.1"),
        head("GET / HTTP/2"),
        head("GET / FTP/1.1"),
        head("GET / HTTP/1.1", "Host: a", "Host: b"),
        head("GET / HTTP/1.1", "Accept: a"),
        head("GET / HTTP/1.1", "Host: a", "nocolon"),
        head("GET / HTTP/1.1", "Host: a", "bad name: b"),
        head("GET / HTTP/1.1", "Host: a", ": b"),
        head("GET / HTTP/1.1", "Host: a", " folded: b"),
        head("GET / HTTP/1.1", "Host: a", "x: b\ny: c"),
        head("GET / HTTP/1.1", "Host: a", "x: \0"),
        head("GET / HTTP/1.1", "Host: a", "Content-Length: 5"),
        head("GET / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked"),
        head("GET /?" + "&".join(f"p{number}=" for number in range(MAX_PARAMETERS + 1)) + " HTTP/1.1"),
        b"\r\n\r\n",
        b"\xff\xfe\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    assert refused(data) is HTTPStatus.BAD_REQUEST


def test_too_many_headers_are_refused() -> None:
    many = [f"x{number}: y" for number in range(MAX_HEADERS)]
    assert refused(head("GET / HTTP/1.1", "Host: a", *many)) is HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


@pytest.mark.parametrize(
    "data", [GOOD[:cut] + bytes((byte,)) + GOOD[cut:] for cut in (0, 5, 30, 70) for byte in range(256)]
)
def test_a_byte_more_anywhere_is_a_request_or_refused(data: bytes) -> None:
    try:
        method = parse_request(data).method
    except BadRequestError:
        return
    assert method == "GET"


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "a.localhost", "127.0.0.1", "127.0.0.1:9", "[::1]:9", "::1"]
)
def test_a_name_that_no_name_server_decides_is_local(host: str) -> None:
    assert is_local_name(host)


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:9", "localhost.evil.example", "127.0.0.1.evil.example", "[x]"]
)
def test_any_other_name_is_not(host: str) -> None:
    assert not is_local_name(host)


def test_an_answer_has_its_length_and_forbids_what_could_harm() -> None:
    said = write_answer(Answer(HTTPStatus.OK, "text/plain", b"body"), lasting=True).decode()
    assert said.startswith("HTTP/1.1 200 OK\r\n")
    for line in (
        "Content-Length: 4",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "default-src 'none'",
    ):
        assert line in said
    assert "Access-Control" not in said
    assert said.endswith("Connection: keep-alive\r\n\r\nbody")


def test_an_answer_to_head_says_what_it_would_have_brought() -> None:
    said = write_answer(Answer(HTTPStatus.OK, "text/plain", b"body"), lasting=False, body=False)
    assert b"Content-Length: 4\r\n" in said
    assert said.endswith(b"Connection: close\r\n\r\n")


def test_who_may_not_is_told_what_he_may() -> None:
    assert b"\r\nAllow: GET, HEAD\r\n" in write_answer(refusal(HTTPStatus.METHOD_NOT_ALLOWED, "no"), lasting=False)

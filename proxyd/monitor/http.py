"""HTTP, as much of it as a monitor needs: GET and HEAD without bodies, answers of known length. Sans-I/O.

Everything has a bound: a request is its head and nothing else. Where the monitor is on a loopback address, the name it
is called by must be one too: another site's script, let in by a name that suddenly leads here, is turned away.
Source: RFC 9110, RFC 9112.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import parse_qsl

MAX_HEAD_BYTES = 8192
MAX_HEADERS = 64
MAX_PARAMETERS = 16
METHODS = frozenset(("GET", "HEAD"))
_END = b"\r\n\r\n"
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
SAFETY = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)
"""Said with every answer: nothing here is to be kept, guessed at, framed, or mixed with what comes from elsewhere."""


class BadRequestError(Exception):
    """A request that is none, or not one that is answered: the status says why."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for. headers: by their names in lower case. lasting: the connection may go on after the answer."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    lasting: bool


class Answer(NamedTuple):
    """What is answered."""

    status: HTTPStatus
    kind: str
    body: bytes


def find_head(received: bytes | bytearray) -> int:
    """Return how many bytes the head of the request has that lies first in what was received, 0 if more must come.

    Raises BadRequestError when it is too long.
    """
    end = received.find(_END, 0, MAX_HEAD_BYTES)
    if end < 0 and len(received) >= MAX_HEAD_BYTES:
        raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {MAX_HEAD_BYTES} bytes of head")
    return end + len(_END) if end >= 0 else 0


def parse_request(head: bytes) -> Request:
    """Parse a head with its empty line. Raises BadRequestError."""
    lines = head.decode("latin-1").split("\r\n")[:-2]
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1.") or "\n" in lines[0]:
        raise BadRequestError(HTTPStatus.BAD_REQUEST, "no request line of HTTP/1")
    method, target, version = words
    if method not in METHODS:
        raise BadRequestError(HTTPStatus.METHOD_NOT_ALLOWED, "GET or HEAD")
    headers = _parse_headers(lines[1:])
    if headers.get("transfer-encoding") or headers.get("content-length", "0") != "0":
        raise BadRequestError(HTTPStatus.BAD_REQUEST, "no body is taken")
    modern = version != "HTTP/1.0"
    if modern and "host" not in headers:
        raise BadRequestError(HTTPStatus.BAD_REQUEST, "no Host")
    path, _, query = target.partition("?")
    return Request(method, path, _parse_query(query), headers, modern and not _is_last(headers))


def _is_last(headers: Mapping[str, str]) -> bool:
    return "close" in (word.strip().lower() for word in headers.get("connection", "").split(","))


def _parse_headers(lines: list[str]) -> dict[str, str]:
    if len(lines) > MAX_HEADERS:
        raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {MAX_HEADERS} headers")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or not _TOKEN.issuperset(name) or "\n" in value or "\0" in value:
            raise BadRequestError(HTTPStatus.BAD_REQUEST, "a line that is no header")
        key = name.lower()
        if key in headers and key in ("host", "content-length"):
            raise BadRequestError(HTTPStatus.BAD_REQUEST, f"more than one {name}")
        headers[key] = value.strip(" \t")
    return headers


def _parse_query(text: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError as error:
        raise BadRequestError(HTTPStatus.BAD_REQUEST, f"more than {MAX_PARAMETERS} parameters") from error
    return dict(pairs)


def is_local_name(host: str) -> bool:
    """Tell whether a Host header names this machine as such: localhost, or an address. No name server decides that."""
    name = host.strip().lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def write_answer(answer: Answer, *, lasting: bool, body: bool = True) -> bytes:
    """Return an answer as it goes out. body False: to HEAD, without what it would have brought."""
    status = answer.status
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {answer.kind}",
        f"Content-Length: {len(answer.body)}",
        *(f"{name}: {value}" for name, value in SAFETY),
    ]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: GET, HEAD")
    lines.append(f"Connection: {'keep-alive' if lasting else 'close'}")
    head = "\r\n".join((*lines, "", "")).encode("latin-1")
    return head + answer.body if body else head


def refusal(status: HTTPStatus, why: str) -> Answer:
    """Return an answer in a word."""
    return Answer(status, "text/plain; charset=utf-8", f"{why}\n".encode())

"""A small real DNS server to try the proxy with: demo_upstream.py ADDRESS PORT.

It answers for `example` and all below it: TXT tells where the question came from, which is the proxy's own socket,
A and AAAA have documentation addresses, other types have none. Everything else is refused.
Prints `ready` once it is bound; ends with SIGTERM or Ctrl-C. Source: RFC 1035; RFC 5737, RFC 3849 (addresses).
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

ZONE = dns.name.from_text("example.")
ADDRESSES = {dns.rdatatype.A: "192.0.2.1", dns.rdatatype.AAAA: "2001:db8::1"}
TTL_S = 0


def answer(wire: bytes, source: str) -> bytes | None:
    """Return the answer to a question, None where there is nothing to say. source: who asked, for TXT."""
    try:
        query = dns.message.from_wire(wire)
    except dns.exception.DNSException:
        return None
    if query.flags & dns.flags.QR or len(query.question) != 1:
        return None
    question = query.question[0]
    response = dns.message.make_response(query)
    if not question.name.is_subdomain(ZONE) or question.rdclass != dns.rdataclass.IN:
        response.set_rcode(dns.rcode.REFUSED)
        return response.to_wire()
    response.flags |= dns.flags.AA
    data = {dns.rdatatype.TXT: f'"hello, your question came from {source}"', **ADDRESSES}.get(question.rdtype)
    if data is not None:
        response.answer.append(dns.rrset.from_text(question.name, TTL_S, "IN", question.rdtype, data))
    return response.to_wire()


def serve(sock: socket.socket) -> None:
    """Answer until interrupted."""
    while True:
        wire, (address, port) = sock.recvfrom(65_535)
        response = answer(wire, f"{address} port {port}")
        if response is not None:
            with contextlib.suppress(ConnectionRefusedError):
                sock.sendto(response, (address, port))


def main(argv: list[str]) -> int:
    """Bind and serve."""
    address, port = argv[1], int(argv[2])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((address, port))
        except OSError as error:
            print(f"UDP port {port} on {address} is not to be had: {error.strerror}", file=sys.stderr)
            return 1
        print("ready", flush=True)
        serve(sock)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))

"""Becomes a program that is passed descriptors as a service manager passes them. Run as a program:

    python receive_and_run.py SOCKET COMMAND...

Connects to a Unix socket, takes the descriptors that come there, 253 a message at most, each message naming its own,
and becomes the command with them as 3, 4, … and the variables that tell of them. Source: sd_listen_fds(3).
Uses nothing but the standard library, so that it starts fast.
"""

from __future__ import annotations

import os
import resource
import socket
import sys

FIRST = 3
ASIDE = 1000
"""Where descriptors wait until all of them are there: none of the final numbers is taken meanwhile."""


def main(argv: list[str]) -> None:
    """Take what comes, and become the command."""
    names: list[str] = []
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.connect(argv[1])
        while True:
            data, descriptors, _, _ = socket.recv_fds(sock, 65536, 253)
            if not data:
                break
            for descriptor in descriptors:
                os.dup2(descriptor, ASIDE + len(names))
                os.close(descriptor)
                names.append(data.decode())
    for number in range(len(names)):
        os.dup2(ASIDE + number, FIRST + number)
        os.close(ASIDE + number)
    if names:
        told = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(names)), "LISTEN_FDNAMES": ":".join(names)}
        os.environ.update(told)
    os.execvp(argv[2], argv[2:])


if __name__ == "__main__":
    main(sys.argv)

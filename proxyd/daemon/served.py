"""Whether somebody serves at a Unix socket that lies in our way, or a dead process has left it."""

from __future__ import annotations

import socket


def is_served(path: str, kind: socket.SocketKind) -> bool:
    """Tell whether a process listens on the socket at a path; nobody is waited for. kind: the socket's.

    Raises OSError for what is no such socket, or may not be asked.
    """
    with socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:
            pass  # its queue is full: somebody serves there
    return True

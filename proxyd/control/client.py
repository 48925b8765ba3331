"""The client's side of the control socket: asks a running proxy, and finds the proxies that run on this machine."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

from proxyd.control import protocol
from proxyd.control.protocol import MAX_MESSAGE_BYTES, Done, ProtocolError, Refused, Reply, Request
from proxyd.errors import ProxydError

PATIENCE_S = 15.0
"""How long to wait for a proxy that says nothing: longer than it waits for us."""
RUN_DIRECTORY = Path("/run")
PATTERNS = ("udp-proxy-*.ctl", "uftpproxyd-*.ctl")


class UnreachableError(ProxydError):
    """No proxy can be talked to, and why."""


class GoneError(UnreachableError):
    """The proxy has ended before it had said all; another process of it may serve by now."""


class RefusedError(ProxydError):
    """The proxy does not do what was asked of it, and why."""


class Connection:
    """A connection to one proxy. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(PATIENCE_S)
        self._path = path
        try:
            self._connect(path)
        except OSError as error:
            self._socket.close()
            raise UnreachableError(f"{path}: {_explain(error)}") from error

    def _connect(self, path: Path) -> None:
        # By way of a descriptor: an address of a Unix socket holds 107 bytes.
        directory = os.open(path.absolute().parent, os.O_PATH | os.O_DIRECTORY)
        try:
            self._socket.connect(f"/proc/self/fd/{directory}/{path.name}")
        finally:
            os.close(directory)

    def ask(self, request: Request, descriptors: Sequence[int] = ()) -> Iterator[Reply]:
        """Yield the answer without its end. Raises RefusedError, or UnreachableError when the proxy has gone.

        descriptors: go with the question, and stay the caller's too.
        """
        try:
            question = protocol.encode(request)
        except ProtocolError as error:
            raise RefusedError(f"that cannot be asked: {error}") from error
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        try:
            self._socket.sendmsg([question], rights)
            while True:
                data = self._socket.recv(MAX_MESSAGE_BYTES + 1)
                if not data:
                    raise GoneError(f"{self._path}: the proxy has sent us away, or ended")
                reply = protocol.decode_reply(data)
                if isinstance(reply, Refused):
                    raise RefusedError(reply.why)
                if isinstance(reply, Done):
                    return
                yield reply
        except ConnectionError as error:
            raise GoneError(f"{self._path}: {error.strerror}") from error
        except TimeoutError as error:
            raise UnreachableError(f"{self._path}: the proxy says nothing for {PATIENCE_S:g} s") from error
        except OSError as error:
            raise UnreachableError(f"{self._path}: {error.strerror}") from error
        except ProtocolError as error:
            raise UnreachableError(f"{self._path}: another version of the proxy? {error}") from error

    def order(self, request: Request, descriptors: Sequence[int] = ()) -> None:
        """Ask, and want nothing but that it is done. Raises as ask does."""
        for _ in self.ask(request, descriptors):
            pass

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def _explain(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such socket: the proxy does not run, or takes no orders"
    if isinstance(error, ConnectionRefusedError):
        return "nobody serves there any more"
    if isinstance(error, PermissionError):
        return "not permitted: orders are taken from root and the group that 'control' names"
    return error.strerror or str(error)


def find_sockets(directory: Path = RUN_DIRECTORY) -> list[Path]:
    """Return the control sockets that lie in the directory, by name."""
    return sorted(path for pattern in PATTERNS for path in directory.glob(pattern) if path.is_socket())


def _is_served(path: Path) -> bool:
    try:
        with Connection(path):
            return True
    except UnreachableError as error:
        return isinstance(error.__cause__, PermissionError)


def _stems(paths: Sequence[Path]) -> str:
    return ", ".join(path.stem for path in paths)


def choose_socket(name: str | None, directory: Path = RUN_DIRECTORY) -> Path:
    """Return the socket of the proxy called name, with or without its program's name, or of the only one there is.

    Raises UnreachableError when there is none, or several fit.
    """
    found = find_sockets(directory)
    if name is not None:
        wanted = {name.lower(), *(f"{pattern.partition('*')[0]}{name.lower()}" for pattern in PATTERNS)}
        found = [path for path in found if path.stem.lower() in wanted]
    if len(found) > 1:
        # A proxy that was killed leaves its socket behind.
        served = [path for path in found if _is_served(path)]
        if not served:
            raise UnreachableError(f"nobody serves {_stems(found)} any more")
        found = served
    if len(found) == 1:
        return found[0]
    if found:
        raise UnreachableError(f"several proxies run, choose one by -n: {_stems(found)}")
    which = "no proxy" if name is None else f"no proxy called '{name}'"
    raise UnreachableError(f"{which} has a control socket in {directory}; -s names one elsewhere")

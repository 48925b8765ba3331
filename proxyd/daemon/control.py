"""The control socket: where administrators ask the running proxy, and give it orders.

A client can harm nothing but itself: who it is is asked of the kernel, there are never more than MAX_CLIENTS of them,
one request of each is worked on at a time, its answer is made message by message as the client reads, and one that is
silent or does not read for PATIENCE_NS is sent away. What is asked is answered by proxyd.daemon.answers; an answer that
is not there yet is asked for again from turn to turn.
Source: unix(7); proxyctl(8).
"""

from __future__ import annotations

import contextlib
import grp
import os
import select
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from proxyd.control import protocol
from proxyd.control.protocol import MAX_MESSAGE_BYTES, Done, ProtocolError, Refused, Reply, Request
from proxyd.daemon.asker import Asker, hear, meet
from proxyd.daemon.journal import Journal
from proxyd.daemon.served import is_served
from proxyd.errors import SetupError

MAX_CLIENTS = 32
PATIENCE_NS = 10_000_000_000
_BURST = 16
"""Messages to one client before others have their turn."""
_BACKLOG = 16
_MODE = 0o660
_END = Done()
"""Stands for the end of an answer."""


@dataclass(slots=True)
class Post:
    """A control socket that listens, the path it lies at, and its number there. group: whose members are let in.

    ours: whether it goes with this process; where not, it is another one's still or by now.
    """

    sock: socket.socket
    path: Path
    inode: int
    group: int | None
    ours: bool = True

    def claim(self) -> None:
        """Make it this process's."""
        self.ours = True

    def leave(self) -> None:
        """Let it be whosever it is beside us."""
        self.ours = False

    def restore(self) -> socket.socket | None:
        """Lie at the path again, with a socket anew, where nothing lies any more; return the older one, to be closed.

        None where it need not be, or cannot.
        """
        if not self.ours or os.path.lexists(self.path):
            return None
        fresh = _make_socket()
        try:
            _bind(fresh, self.path, self.group)
            self.inode = self.path.lstat().st_ino
        except OSError:
            fresh.close()
            return None
        before, self.sock = self.sock, fresh
        return before

    def remove(self) -> None:
        """Stop listening, and remove the socket, if it is ours, from its directory as far as that is permitted."""
        with contextlib.suppress(OSError):
            if self.ours and self.path.lstat().st_ino == self.inode:
                self.path.unlink()
        self.sock.close()


def inherit_post(path: Path, descriptor: int, group: str | None) -> Post:
    """Listen on the socket of a process that gave us its descriptor; the socket stays that process's until `claim`.

    Raises SetupError where another socket lies at path, or there is no such group.
    """
    sock = socket.socket(fileno=descriptor)
    try:
        number = _number_of(group, path)
        _require_listening(sock, path)
        sock.setblocking(False)
        if number is not None:
            os.chown(path, -1, number)
        return Post(sock, path, path.lstat().st_ino, number, ours=False)
    except OSError as error:
        sock.close()
        raise SetupError(f"control socket {path}", error.strerror or str(error)) from error
    except SetupError:
        sock.close()
        raise


def _require_listening(sock: socket.socket, path: Path) -> None:
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 0 or not path.is_socket():
        raise SetupError(f"control socket {path}", "what was left is not listening there")


def _number_of(group: str | None, path: Path) -> int | None:
    try:
        return None if group is None else grp.getgrnam(group).gr_gid
    except KeyError:
        raise SetupError(f"control socket {path}", f"there is no group '{group}'") from None


def open_post(path: Path, group: str | None) -> Post:
    """Make the socket; what a dead proxy left there is replaced. Its mode is 0660 from the first moment.

    Raises SetupError when the group is not known, somebody serves there, or it cannot be made.
    """
    number = _number_of(group, path)
    sock = _make_socket()
    try:
        _bind(sock, path, number)
        return Post(sock, path, path.lstat().st_ino, number)
    except OSError as error:
        sock.close()
        raise SetupError(f"control socket {path}", error.strerror or str(error)) from error


def _make_socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)


def _bind(sock: socket.socket, path: Path, group: int | None) -> None:
    """Bind beside the path, and rename: nobody ever meets it with other rights than it is to have."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    fresh = f".{path.name[:60]}.{os.getpid()}"
    try:
        # By way of the descriptor: an address of a Unix socket holds 107 bytes.
        there = Path(f"/proc/self/fd/{directory}")
        _refuse_living(str(there / path.name))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh, dir_fd=directory)
        before = os.umask(0o777)
        try:
            sock.bind(str(there / fresh))
        finally:
            os.umask(before)
        try:
            if group is not None:
                os.chown(fresh, -1, group, dir_fd=directory)
            os.chmod(fresh, _MODE, dir_fd=directory)
            sock.listen(_BACKLOG)
            os.rename(fresh, path.name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError:
            os.unlink(fresh, dir_fd=directory)
            raise
    finally:
        os.close(directory)


def _refuse_living(path: str) -> None:
    """Raise FileExistsError when the path is anything but a socket that nobody serves any more."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(0, "there is a file that is no socket")
    if is_served(path, socket.SOCK_SEQPACKET):
        raise FileExistsError(0, "another process serves there")


@dataclass(eq=False, slots=True)
class Client:
    """Somebody who asks. replies: the answer in progress; waiting: its next message, which the client has no room for.

    last: no further request is taken. parked: the next message of the answer is not there yet.
    """

    sock: socket.socket
    asker: Asker
    due_ns: int
    replies: Iterator[Reply | None] | None = None
    waiting: bytes = b""
    last: bool = False
    parked: bool = False


class Control:
    """Serves the clients of one post. fileno() becomes readable when `serve` should be called.

    answer: makes the answer to a request; None among its messages: the next one is not there yet, and the answer is
    asked again at the next call of tend. It must come to an end by itself.
    describe: says in words what a request changes, None for a mere question.
    """

    def __init__(
        self,
        post: Post,
        answer: Callable[[Request, Asker], Iterator[Reply | None]],
        describe: Callable[[Request], str | None],
        journal: Journal,
    ) -> None:
        self._post = post
        self._answer = answer
        self._describe = describe
        self._journal = journal
        self._epoll = select.epoll()
        self._epoll.register(post.sock.fileno(), select.EPOLLIN)
        self._clients: dict[int, Client] = {}
        self._accepting = True
        self._closed_to_new = False

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._epoll.fileno()

    def serve(self, now_ns: int) -> None:
        """Do what can be done without waiting, a bounded part of it."""
        for descriptor, _ in self._epoll.poll(0):
            client = self._clients.get(descriptor)
            if client is None:
                self._accept(now_ns)
            elif client.parked:
                self._close(client)  # nothing else is waited for: it has gone
            elif client.replies is None:
                self._receive(client, now_ns)
            else:
                self._send(client, now_ns)

    def tend(self, now_ns: int) -> None:
        """Ask again for answers that were not there yet, and send away whoever was silent for too long.

        To be called every turn, once a second at least.
        """
        for client in list(self._clients.values()):
            if client.parked:
                client.parked, client.due_ns = False, now_ns + PATIENCE_NS
                self._send(client, now_ns)
            elif client.due_ns <= now_ns:
                self._close(client)
        if len(self._clients) < MAX_CLIENTS:
            self._accept_again(True)

    def restore(self) -> None:
        """Be found at the path again, if somebody has removed what lay there."""
        before = self._post.restore()
        if before is not None:
            self._epoll.unregister(before.fileno())
            before.close()
            self._epoll.register(self._post.sock.fileno(), select.EPOLLIN if self._accepting else 0)
            self._journal.note("config-warning", f"the control socket {self._post.path} was gone: it is made anew")

    def let_in(self, letting: bool) -> None:
        """Take new clients, or let them wait in the queue: another process is to serve them, or nobody for a while."""
        self._closed_to_new = not letting
        self._accept_again(letting)

    def close(self) -> None:
        """Send everybody away; the post stays its owner's."""
        for client in list(self._clients.values()):
            self._close(client)
        self._epoll.close()

    def _accept(self, now_ns: int) -> None:
        try:
            sock, _ = self._post.sock.accept()
        except OSError:
            # Gone again; or descriptors ran out, and who waits is accepted later.
            self._accept_again(False)
            return
        sock.setblocking(False)
        asker = meet(sock)
        if not self._permits(asker):
            self._journal.note("control-refused", asker.who, "neither root, nor who started it, nor in the group")
            sock.close()
            return
        client = Client(sock, asker, now_ns + PATIENCE_NS)
        self._clients[sock.fileno()] = client
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        if len(self._clients) >= MAX_CLIENTS:
            self._accept_again(False)

    def _permits(self, asker: Asker) -> bool:
        return asker.user in (0, os.geteuid()) or self._post.group in asker.groups

    def _accept_again(self, accepting: bool) -> None:
        """Listen, or let those who come wait in the queue."""
        accepting = accepting and not self._closed_to_new
        if accepting is not self._accepting:
            self._accepting = accepting
            self._epoll.modify(self._post.sock.fileno(), select.EPOLLIN if accepting else 0)

    def _receive(self, client: Client, now_ns: int) -> None:
        try:
            data, descriptor = hear(client.sock, MAX_MESSAGE_BYTES + 1)
        except BlockingIOError:
            return
        except OSError:
            data, descriptor = b"", None
        client.asker.give(descriptor)
        if not data:
            self._close(client)
            return
        client.due_ns = now_ns + PATIENCE_NS
        try:
            request = protocol.decode_request(data)
        except ProtocolError as error:
            client.last = True
            client.replies = iter((Refused(str(error)[:1000]),))
        else:
            order = self._describe(request)
            if order is not None:
                self._journal.note("control-order", client.asker.who, order)
            client.replies = self._answer(request, client.asker)
        self._send(client, now_ns)

    def _send(self, client: Client, now_ns: int) -> None:
        """Send what the client has room for, at most a burst; the rest when it is its turn again."""
        try:
            for _ in range(_BURST):
                if not client.waiting and not self._load(client):
                    self._rest(client)
                    return
                client.sock.send(client.waiting)
                client.waiting = b""
                client.due_ns = now_ns + PATIENCE_NS
        except BlockingIOError:
            pass
        except OSError:
            self._close(client)
            return
        self._epoll.modify(client.sock.fileno(), select.EPOLLOUT)

    def _load(self, client: Client) -> bool:
        """Make the next message; False when there is none, or none yet: then the client is parked."""
        reply = _END if client.replies is None else next(client.replies, _END)
        if reply is None or reply is _END:
            client.parked = reply is None
            return False
        try:
            client.waiting = protocol.encode(reply)
        except ProtocolError as error:
            client.waiting, client.replies = protocol.encode(Refused(str(error))), iter(())
        if isinstance(reply, Done | Refused):
            client.replies = iter(())
        return True

    def _rest(self, client: Client) -> None:
        """Wait for the answer to go on, or for the next request when it is complete."""
        if client.parked:
            self._epoll.modify(client.sock.fileno(), 0)
            return
        client.replies = None
        client.asker.drop()
        if client.last:
            self._close(client)
        else:
            self._epoll.modify(client.sock.fileno(), select.EPOLLIN)

    def _close(self, client: Client) -> None:
        descriptor = client.sock.fileno()
        del self._clients[descriptor]
        self._epoll.unregister(descriptor)
        client.sock.close()
        client.asker.drop()
        self._accept_again(True)

"""The pidfile: which process is the proxy, and the lock that keeps a second one from starting.

The lock (flock) lies on the file itself and lasts as long as the process; a file without a lock is stale, whatever
number stands in it. The file appears with its content in one step. The lock is the open descriptor's: children must
close it.
A successor is given that very descriptor, and so shares the lock: there is no moment without it in which a third
process could start. Whose the file is, the number in it says; who takes it over writes his own, in one step.
Source: flock(2), link(2), rename(2).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from pathlib import Path

from proxyd.errors import SetupError

RUN_DIRECTORY = Path("/run")
LONGEST_BYTES = 64
"""What stands in a pidfile, whoever wrote it, at most."""
_ATTEMPTS = 10


def default_path(name: str, directory: Path = RUN_DIRECTORY) -> Path:
    """Return a proxy's pidfile: /run/udp-proxy-NAME.pid, with the section's name in lower case."""
    return directory / f"udp-proxy-{name.lower()}.pid"


def refuse_second(path: Path) -> None:
    """Raise SetupError when a running process holds this pidfile; a stale one, or none, is nobody's.

    Pidfile.take says the same, but it comes late: by then a second process has failed to bind the first one's sockets,
    and would tell nobody who has them.
    """
    try:
        # Not to wait: whatever else lies there, Pidfile.take refuses it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _held(path, descriptor) from error
    finally:
        os.close(descriptor)


class Pidfile:
    """A pidfile that this process holds. It must live as long as the process does.

    ours: whether the number in it is this process's; where it is not, the file is another process's still or by now.
    """

    def __init__(self, path: Path, descriptor: int, ours: bool = True) -> None:
        self.path = path
        self.descriptor = descriptor
        self.ours = ours

    @classmethod
    def take(cls, path: Path) -> Pidfile:
        """Write this process's pidfile and lock it; replace a stale one.

        Raises SetupError when another process holds it, or it cannot be written (PermissionError is its cause then).
        """
        try:
            for _ in range(_ATTEMPTS):
                taken = _try_to_take(path)
                if taken is not None:
                    return cls(path, taken)
        except OSError as error:
            raise SetupError(f"pidfile {path}", error.strerror or str(error)) from error
        raise SetupError(f"pidfile {path}", "other processes keep replacing it")

    @classmethod
    def inherit(cls, path: Path, descriptor: int) -> Pidfile:
        """Share the pidfile of a process that gave us its descriptor; it stays that process's until `claim`.

        Raises SetupError where that is not the file at path, or its lock is somebody else's.
        """
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return cls(path, descriptor, ours=False)
        except OSError as error:
            raise SetupError(f"pidfile {path}", f"cannot be taken over: {error.strerror}") from error
        raise SetupError(f"pidfile {path}", "it is another file by now")

    def claim(self) -> None:
        """Write this process's number into the file, whoever's stands there. Raises SetupError."""
        number = f"{os.getpid()}\n".encode()
        try:
            # The first line is right at every moment, and is all that anybody reads.
            os.pwrite(self.descriptor, number, 0)
            os.ftruncate(self.descriptor, len(number))
        except OSError as error:
            raise SetupError(f"pidfile {self.path}", error.strerror or str(error)) from error
        self.ours = True

    def leave(self) -> None:
        """Leave the file as it is to whoever shares it."""
        self.ours = False

    def remove(self) -> None:
        """Remove the file if it is still ours, and let go of our part of the lock.

        A process that changed its user or root may not be able to: then the file is emptied.
        """
        if not self.ours:
            os.close(self.descriptor)
            return
        try:
            if os.path.samestat(self.path.stat(), os.fstat(self.descriptor)):
                self.path.unlink()
        except OSError:
            os.ftruncate(self.descriptor, 0)
        os.close(self.descriptor)


def _try_to_take(path: Path) -> int | None:
    """Make one attempt; return the locked descriptor, None when the file changed meanwhile."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.fchmod(descriptor, 0o644)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        if _put_in_place(fresh, path):
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
    os.close(descriptor)
    return None


def _put_in_place(fresh: Path, path: Path) -> bool:
    """Let path name the fresh file, unless a running process holds it; return whether that was done."""
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(fresh)
        return True
    try:
        _refuse_others(path)
        old = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(old, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(old), path.stat()):
            return False
        fresh.rename(path)
    except BlockingIOError as error:
        raise _held(path, old) from error
    except FileNotFoundError:
        return False
    finally:
        os.close(old)
    return True


def _refuse_others(path: Path) -> None:
    """Raise SetupError for what is no pidfile, whoever named it: to replace it would be to lose it."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise SetupError(f"pidfile {path}", "there is something else than an ordinary file")
    if status.st_size > LONGEST_BYTES:
        raise SetupError(f"pidfile {path}", f"there is a file of {status.st_size} bytes, which is no pidfile")


def _held(path: Path, descriptor: int) -> SetupError:
    holder = os.read(descriptor, 32).decode(errors="replace").strip()
    return SetupError(f"pidfile {path}", f"already running as process {holder or 'unknown'}")

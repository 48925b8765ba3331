"""How a process gives up root directory, user, groups and capabilities, and proves that it cannot come back.

The order matters: the root while it may still be changed, groups and the bounding set while there is a capability for
them, the user last; then everything is tried again, and must fail. What the work itself needs of capabilities is kept
over the change of user, and nothing beside it.
Source: credentials(7), capabilities(7), chroot(2).
"""

from __future__ import annotations

import contextlib
import os
import resource
import stat
from collections.abc import Iterable
from pathlib import Path

from workers import sandbox
from workers.contract.context import Confinement
from workers.errors import BootError, PrivilegeError

_CAP_SETPCAP = 8


def confine(confinement: Confinement, descriptors: Iterable[int] = ()) -> None:
    """Give up everything this process does not need to serve, for good, and prove it.

    descriptors: all that are open. None of them may be a directory where the root changes: it would be a way out.
    Raises BootError where the machine does not allow a step, PrivilegeError where something was kept.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if confinement.root is not None:
        change_root(confinement.root, descriptors)
    kept = sum(1 << capability for capability in confinement.capabilities)
    if kept & ~sandbox.read_capabilities().permitted:
        raise BootError("keep capabilities", f"not all of {sorted(confinement.capabilities)} are there")
    if sandbox.read_capabilities().effective >> _CAP_SETPCAP & 1:
        sandbox.drop_bounding_set()
    if confinement.uid is not None and confinement.gid is not None:
        sandbox.keep_permitted(bool(kept))
        change_user(confinement.uid, confinement.gid)
        sandbox.keep_permitted(False)
    sandbox.drop_capabilities(kept)
    sandbox.forbid_new_privileges()
    sandbox.forbid_dumps()
    prove_unprivileged(os.getresuid()[0] if confinement.uid is None else confinement.uid, confinement.gid, kept)
    if confinement.root is not None:
        prove_root_is_final()


def change_root(root: str, descriptors: Iterable[int]) -> None:
    """Make root the root and the working directory of this process.

    Raises BootError when that is impossible, PrivilegeError when the root is not root afterwards or a directory
    outside is still open.
    """
    try:
        os.chdir(root)
        wanted = Path().stat()
        os.chroot(".")
        os.chdir("/")
    except OSError as error:
        raise BootError(f"chroot {root}", error.strerror or str(error)) from error
    for place in ("/", "/..", "."):
        if not os.path.samestat(Path(place).stat(), wanted):
            raise PrivilegeError(f"the root is not {root} after chroot")
    if any(stat.S_ISDIR(os.fstat(descriptor).st_mode) for descriptor in descriptors):
        raise PrivilegeError("a directory outside the root is still open")


def change_user(uid: int, gid: int) -> None:
    """Become uid and gid, without supplementary groups. Raises BootError when that is not permitted."""
    try:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise BootError(f"change to user {uid}, group {gid}", error.strerror or str(error)) from error


def prove_unprivileged(uid: int, gid: int | None, kept: int = 0) -> None:
    """Raise PrivilegeError unless this process can be nobody but uid:gid, without capabilities, from now on.

    gid None: groups were not to be changed, and are not looked at. kept: the capabilities that it has all the same,
    one bit each, and that none of its children will have.
    """
    if uid == 0 or os.getresuid() != (uid,) * 3:
        raise PrivilegeError(f"the user ids are {os.getresuid()}, not {uid}")
    if gid is not None and (os.getresgid() != (gid,) * 3 or os.getgroups()):
        raise PrivilegeError("group ids or supplementary groups were kept")
    if sandbox.read_capabilities() != (kept, kept, 0):
        raise PrivilegeError("capabilities were kept")
    if not sandbox.new_privileges_are_forbidden():
        raise PrivilegeError("new privileges are not forbidden")
    with contextlib.suppress(PermissionError):
        os.setresuid(-1, 0, -1)
        raise PrivilegeError("could become root again")
    if gid is not None:
        with contextlib.suppress(PermissionError):
            os.setgroups([0])
            raise PrivilegeError("could take groups again")


def prove_root_is_final() -> None:
    """Raise PrivilegeError when the root could be changed once more."""
    with contextlib.suppress(PermissionError):
        os.chroot("/")
        raise PrivilegeError("could change the root again")

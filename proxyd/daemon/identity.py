"""Which user and group the children become: looked up by the parent, before any root changes.

Started by root, children never stay root: without `app-user` they are nobody. They open no file, so any user without
files of its own will do.
"""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

from proxyd.daemon.capabilities import kept_by_workers
from proxyd.errors import SetupError
from workers.contract.context import Confinement
from workers.contract.settings import Settings

DEFAULT_USER = "nobody"


def look_up(settings: Settings) -> Confinement:
    """Return who the children become, their root, and the capabilities that workers keep.

    Raises SetupError when user, group or directory do not exist, or the user is root.
    """
    root = None if settings.chroot_dir is None else _existing_directory(settings.chroot_dir)
    kept = kept_by_workers(settings)
    user = settings.app_user
    if user is None and settings.app_group is None and os.geteuid() != 0:
        return Confinement(None, None, root, kept)
    entry = _find_user(user if user is not None else _own_user())
    gid = entry.pw_gid if settings.app_group is None else _find_group(settings.app_group)
    if entry.pw_uid == 0:
        raise SetupError(f"app-user {entry.pw_name}", "children may not be root")
    if os.getresuid() == (entry.pw_uid,) * 3 and os.getresgid() == (gid,) * 3:
        return Confinement(None, None, root, kept)
    return Confinement(entry.pw_uid, gid, root, kept)


def _own_user() -> str | int:
    return DEFAULT_USER if os.geteuid() == 0 else os.geteuid()


def _find_user(user: str | int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(user)) if isinstance(user, int) or user.isdigit() else pwd.getpwnam(user)
    except KeyError as error:
        raise SetupError(f"app-user {user}", "no such user") from error


def _find_group(group: str) -> int:
    try:
        return (grp.getgrgid(int(group)) if group.isdigit() else grp.getgrnam(group)).gr_gid
    except KeyError as error:
        raise SetupError(f"app-user group {group}", "no such group") from error


def _existing_directory(path: str) -> str:
    if not Path(path).is_dir():
        raise SetupError(f"chroot-dir {path}", "no such directory")
    return path

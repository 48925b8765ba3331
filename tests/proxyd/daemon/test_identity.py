"""Who the children become."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import replace
from pathlib import Path

import pytest

from proxyd.daemon.identity import look_up
from proxyd.errors import SetupError
from tests.kit.requirement import requires_root
from tests.workers.forked import in_child
from workers.contract.context import Confinement
from workers.contract.settings import AclSettings, Settings, SourceAddress

NOBODY = pwd.getpwnam("nobody")
DAEMON = pwd.getpwnam("daemon")


def settings(user: str | None = None, group: str | None = None, root: str | None = None) -> Settings:
    return Settings("TEST", (), 10, 1, (), app_user=user, app_group=group, chroot_dir=root)


@requires_root
def test_roots_children_are_nobody_by_default() -> None:
    assert look_up(settings()) == Confinement(NOBODY.pw_uid, NOBODY.pw_gid, None)


@pytest.mark.parametrize("user", ["daemon", str(DAEMON.pw_uid)])
def test_a_user_comes_with_its_group(user: str) -> None:
    assert look_up(settings(user)) == Confinement(DAEMON.pw_uid, DAEMON.pw_gid, None)


@pytest.mark.parametrize("group", ["mail", str(grp.getgrnam("mail").gr_gid)])
def test_a_group_of_its_own_takes_the_place_of_the_users(group: str) -> None:
    assert look_up(settings("daemon", group)) == Confinement(DAEMON.pw_uid, grp.getgrnam("mail").gr_gid, None)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (settings("no-such"), "app-user no-such: no such user"),
        (settings("daemon", "no-such"), "app-user group no-such: no such group"),
        (settings("root"), "app-user root: children may not be root"),
        (settings("0"), "app-user root: children may not be root"),
        (settings("daemon", root="/no/such"), "chroot-dir /no/such: no such directory"),
        (settings("daemon", root="/etc/passwd"), "chroot-dir /etc/passwd: no such directory"),
    ],
)
def test_what_does_not_exist_is_told(wanted: Settings, words: str) -> None:
    with pytest.raises(SetupError) as caught:
        look_up(wanted)
    assert str(caught.value) == words


def test_a_root_directory_is_taken_over(tmp_path: Path) -> None:
    assert look_up(settings("daemon", root=str(tmp_path))).root == str(tmp_path)


def test_workers_keep_what_the_rules_need() -> None:
    acl = AclSettings("A", True, source_address=SourceAddress(client=True))
    assert look_up(replace(settings("daemon"), acls=(acl,))).capabilities == {13}
    assert look_up(settings("daemon")).capabilities == frozenset()


@requires_root
@pytest.mark.parametrize("user", [None, "daemon"])
def test_an_ordinary_user_stays_who_it_is(user: str | None) -> None:
    def act() -> Confinement:
        os.setgroups([])
        os.setresgid(*[DAEMON.pw_gid] * 3)
        os.setresuid(*[DAEMON.pw_uid] * 3)
        return look_up(settings(user))

    assert in_child(act) == str(Confinement())

"""Who the processes of a running proxy are, by /proc: ids, groups, capabilities, no_new_privs, root, titles."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest

from tests.kit import peers
from tests.kit.installed import Proxy, children_of, pidfile, requires_installed, serve, status_of
from tests.kit.lab import Lab
from tests.kit.proxy import Configuration, acl
from tests.kit.requirement import requires_namespaces
from tests.kit.way import WAY4

PORT = 900
"""A port that only the privileged may bind."""
KEPT = sum(1 << number for number in (0, 1, 2, 5, 6, 7, 8, 10, 12, 13, 18, 24))
"""What a child's replacement takes (CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SETPCAP, CAP_SYS_CHROOT), and what a reload
may (CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW,
CAP_SYS_RESOURCE)."""
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")

pytestmark = requires_installed


def run(lab: Lab, folder: Path, items: str, name: str = "") -> Proxy:
    """Start a proxy with four workers and these items, and show that it serves."""
    peers.udp_peer(lab.server, "echo", WAY4.server, PORT)
    rule = acl(f"[{WAY4.server}] : {PORT}")
    text = Configuration(WAY4.listen(PORT), rule, f"nodaemon; {items}", workers=4, name=name).text
    proxy = serve(lab.proxy, folder, text)
    with WAY4.client_socket(lab, PORT) as client:
        client.send(b"hello")
        assert client.recv(100) == b"hello"
    return proxy


def assert_unprivileged(pid: int, uid: int, gid: int) -> None:
    """Check that a process is this user and group in every respect, and can be nobody else."""
    status = status_of(pid)
    assert status["Uid"] == " ".join([str(uid)] * 4)
    assert status["Gid"] == " ".join([str(gid)] * 4)
    assert status["Groups"] == ""
    assert {name: int(status[name], 16) for name in CAPABILITIES} == dict.fromkeys(CAPABILITIES, 0)
    assert status["NoNewPrivs"] == "1"


@requires_namespaces
@pytest.mark.parametrize(
    ("items", "user", "group"),
    [
        ("", "nobody", None),
        ("app-user daemon;", "daemon", None),
        ("app-user daemon group mail;", "daemon", "mail"),
        ("app-user daemon; fast-path off;", "daemon", None),
    ],
)
def test_children_are_an_ordinary_user_and_the_parent_keeps_what_replacements_take(
    tmp_path: Path, lab: Lab, items: str, user: str, group: str | None
) -> None:
    proxy = run(lab, tmp_path, items)
    entry = pwd.getpwnam(user)
    gid = entry.pw_gid if group is None else grp.getgrnam(group).gr_gid
    children = children_of(proxy.pid)
    assert len(children) == 4
    for child in children:
        assert_unprivileged(child, entry.pw_uid, gid)
    parent = status_of(proxy.pid)
    assert parent["Uid"] == "0 0 0 0"
    # A machine need not give root everything.
    kept = KEPT & int(status_of(os.getpid())["CapPrm"], 16)
    assert {name: int(parent[name], 16) for name in CAPABILITIES} == {
        **dict.fromkeys(CAPABILITIES, 0),
        **dict.fromkeys(("CapPrm", "CapEff", "CapBnd"), kept),
    }


@requires_namespaces
def test_children_have_the_configured_root_and_the_resolver_too(tmp_path: Path, lab: Lab) -> None:
    jail = tmp_path / "jail"
    jail.mkdir(mode=0o755)
    # The rule's name has to be resolved, so there is a resolver; it is never needed for an answer here.
    items = f'chroot-dir "{jail}"; app-user daemon; session-acl NAMED {{ from {{ localhost }}; deny; }}'
    proxy = run(lab, tmp_path, items)
    titles = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode() for pid in children_of(proxy.pid)}
    roles = sorted(title.split(": ")[1].split()[0] for title in titles.values())
    assert roles == ["resolver", "worker", "worker", "worker", "worker"]
    for child in titles:
        assert Path(f"/proc/{child}/root").readlink() == jail
        assert Path(f"/proc/{child}/cwd").readlink() == jail
        assert_unprivileged(child, pwd.getpwnam("daemon").pw_uid, pwd.getpwnam("daemon").pw_gid)
    assert Path(f"/proc/{proxy.pid}/root").readlink() == Path("/")


@requires_namespaces
def test_one_process_that_does_everything_is_unprivileged_itself(tmp_path: Path, lab: Lab, name: str) -> None:
    proxy = run(lab, tmp_path, "singleproc; app-user daemon;", name)
    assert children_of(proxy.pid) == []
    assert_unprivileged(proxy.pid, pwd.getpwnam("daemon").pw_uid, pwd.getpwnam("daemon").pw_gid)
    assert proxy.log.stop() == 0
    # In a directory of root's it cannot delete the pidfile any more; it takes back what it says.
    assert pidfile(name).read_text() == ""

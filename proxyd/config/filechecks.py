"""What must agree at file level and in the udp-proxy section, session-acl and listen-on apart.

Source: udp-proxy.cfg(5).
"""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proxyd.config.defaults import setting
from proxyd.config.findings import Findings
from proxyd.config.tree import Item, Section
from proxyd.config.values.words import nearest
from workers.contract.settings import HostName

VERSION_PREFIX = "KERNUN-"
MAX_ACCOUNT_CHARS = 255
"""Of a user's or group's name; what looks accounts up may end the process over much longer ones. Source: limits.h."""
MIN_HEAD_CHARS = 3
"""Characters of monitoring data that must remain before its tail."""
USUAL_DATAGRAM_BYTES = 1500
"""What Ethernet carries whole: a queue that never lets so much through at once hardly means it."""

_ACCOUNTS: dict[str, tuple[Callable[[str], Any], Callable[[int], Any]]] = {
    "user": (pwd.getpwnam, pwd.getpwuid),
    "group": (grp.getgrnam, grp.getgrgid),
}
"""By part of an item: how an account is looked up by its name, and by its number."""


def check_file(tree: Section, proxies: list[Section], findings: Findings) -> None:
    """Check the file level."""
    _check_version(tree, findings)
    _check_one_proxy(tree, proxies, findings)
    for section in tree.sections_of("oob-auth"):
        method = section.item("method")
        if method is not None and method.sound and method.get("method") != "external":
            found = f"found the method '{method.get('method')}'"
            findings.error(method.error(found, "wanted 'external', the only one here", "method"))
    for section in tree.sections_of("resolver"):
        for server in section.all("server"):
            if server.sound and isinstance(server.get("server").host, HostName):
                found = f"found the host name '{server.get('server').host.name}'"
                findings.error(server.error(found, "wanted the name server's address", "server"))
    for section in tree.sections_of("interface"):
        if not any(section.has(keyword) for keyword in ("ipv4", "ipv6")) and not section.section("alias"):
            findings.warn(section.error("the interface has no address", "listen-on cannot use it"))
    for section in tree.sections_of("queue"):
        _check_rate(section.item("rate"), findings)


def _check_version(tree: Section, findings: Findings) -> None:
    item = tree.item("version")
    if item is None:
        findings.warn(tree.error("found no 'version'", f"wanted 'version {VERSION_PREFIX}...;' as the first item"))
        return
    if item.sound and not item.get("tag").upper().startswith(VERSION_PREFIX):
        found = f"the version tag '{item.get('tag')}' is not known"
        findings.warn(item.error(found, f"tags here begin with {VERSION_PREFIX}", "tag"))
    if any(section.position < item.position for section in tree.sections):
        findings.warn(item.error("found 'version' after other things", "wanted it first"))


def _check_rate(rate: Item | None, findings: Findings) -> None:
    if rate is None or not rate.sound or "burst" not in rate:
        return
    burst = rate.get("burst")
    if burst < USUAL_DATAGRAM_BYTES:
        found = f"found a burst of {burst} bytes"
        advice = f"a larger datagram never passes; {USUAL_DATAGRAM_BYTES} let through what a network usually carries"
        findings.warn(rate.error(found, advice, "burst"))


def _check_one_proxy(tree: Section, proxies: list[Section], findings: Findings) -> None:
    if not proxies:
        findings.error(tree.error("found no section 'udp-proxy'", "wanted udp-proxy name { ... }"))
        return
    first = proxies[0].path
    for other in proxies[1:]:
        found = f"found '{other.path}' beside '{first}' on line {proxies[0].position.line}"
        findings.error(other.error(found, "wanted exactly one udp-proxy section in a file"))


def check_proxy(tree: Section, proxy: Section, findings: Findings) -> None:
    """Check the udp-proxy section."""
    _check_reference(tree, proxy.item("use-resolver"), "resolver", findings)
    _check_reference(tree, proxy.item("auth"), "oob-auth", findings)
    for keyword in ("log-debug", "log-stats"):
        section = proxy.section(keyword)
        if section is not None:
            _check_log(section, findings)
    monitoring = proxy.section("monitoring")
    if monitoring is not None:
        _check_monitoring(monitoring, findings)
        _check_watched(proxy, monitoring, findings)
    _check_account(proxy.item("app-user"), findings)
    control = proxy.section("control")
    if control is not None:
        _check_account(control.item("group"), findings)
    _check_directory(proxy.item("chroot-dir"), findings)
    if proxy.section("session-acl") is None:
        findings.warn(proxy.error("found no 'session-acl'", "every session will be rejected"))


def _check_reference(tree: Section, item: Item | None, keyword: str, findings: Findings) -> None:
    if item is None or not item.sound or "name" not in item:
        return
    known = [section.name for section in tree.sections_of(keyword) if section.name]
    name = item.get("name")
    if name not in known:
        wanted = f"wanted the name of a section '{keyword}'{nearest(name, known)}"
        findings.error(item.error(f"found '{name}'", wanted, "name"))


def _check_log(section: Section, findings: Findings) -> None:
    facility, rotate = section.item("facility"), section.item("rotate")
    if facility is not None and section.has("file"):
        findings.error(facility.error("found both 'facility' and 'file'", "wanted one of them"))
    if rotate is not None and not section.has("file"):
        findings.error(rotate.error("found 'rotate' without 'file'", "wanted a file that can be rolled"))


def _check_monitoring(section: Section, findings: Findings) -> None:
    item = section.item("data")
    if item is None or not item.sound:
        return
    chars, tail = item.get("chars"), item.get("tail")
    if chars <= tail + MIN_HEAD_CHARS:
        wanted = f"wanted more than {tail + MIN_HEAD_CHARS}, its tail and {MIN_HEAD_CHARS}"
        findings.error(item.error(f"found {chars} characters of data", wanted, "chars"))


def _check_watched(proxy: Section, monitoring: Section, findings: Findings) -> None:
    http = monitoring.item("http")
    if http is not None and proxy.has("singleproc") and not monitoring.has("disabled"):
        findings.warn(http.error("found 'http' with 'singleproc'", "nobody answers: it is a process of its own"))


def _check_account(item: Item | None, findings: Findings) -> None:
    if item is None or not item.sound:
        return
    for part, (by_name, by_number) in _ACCOUNTS.items():
        if part not in item:
            continue
        account = item.get(part)
        if len(account) > MAX_ACCOUNT_CHARS:
            found = f"found a name of {len(account)} characters"
            findings.error(item.error(found, f"wanted at most {MAX_ACCOUNT_CHARS}", part))
            continue
        try:
            by_number(int(account)) if account.isascii() and account.isdigit() else by_name(account)
        except (KeyError, ValueError, OverflowError):
            found = f"there is no {part} '{item.get(part)}' on this machine"
            findings.warn(item.error(found, "the proxy would not start here", part))


def _check_directory(item: Item | None, findings: Findings) -> None:
    if item is None or not item.sound:
        return
    directory = Path(item.get("dir"))
    try:
        exists = directory.is_dir()
    except PermissionError:
        return
    except OSError:
        exists = False
    if not exists:
        findings.error(item.error(f"found '{directory}'", "wanted an existing directory", "dir"))


def has_users(proxy: Section) -> bool:
    """Tell whether users are authenticated at all."""
    return bool(setting(proxy, "auth", "oob"))

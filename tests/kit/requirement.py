"""What a test needs of the machine, said as a mark: where it is missing the test is skipped, and the skip names it.

Skips are for machines that lack something, never for code that does: with CI=true a skip is a failure (see skips).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

Test = TypeVar("Test", bound=Callable[..., object])

PACKAGES = {
    "chromium": "chromium",
    "curl": "curl",
    "dig": "bind9-dnsutils",
    "dpkg-deb": "dpkg",
    "fish": "fish",
    "flock": "util-linux",
    "in.tftpd": "tftpd-hpa",
    "ip": "iproute2",
    "iperf3": "iperf3",
    "logger": "bsdutils",
    "mandoc": "mandoc",
    "nft": "nftables",
    "nsd": "nsd",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "promtool": "prometheus",
    "rsyslogd": "rsyslog",
    "setpriv": "util-linux",
    "shellcheck": "shellcheck",
    "snmpbulkwalk": "snmp",
    "snmpd": "snmpd",
    "snmpget": "snmp",
    "start-stop-daemon": "dpkg",
    "strace": "strace",
    "sysctl": "procps",
    "systemd-analyze": "systemd",
    "tcpdump": "tcpdump",
    "tftp": "tftp-hpa",
    "uftp": "uftp",
    "uftp_keymgt": "uftp",
    "uftpd": "uftp",
    "unshare": "util-linux",
    "zsh": "zsh",
}
"""Program to the Debian package that has it. scripts/test installs those the tests need."""

ADMIN_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where an ordinary user's PATH does not look, but many of the programs are."""


def find_program(name: str) -> str | None:
    """Return the full path of a program, None where the machine has none of this name."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{ADMIN_PATH}")


def requires_program(*names: str) -> pytest.MarkDecorator:
    """Mark a test that runs other people's programs; the reason of a skip names them and their packages."""
    missing = [f"{name} (Debian: {PACKAGES.get(name, name)})" for name in names if find_program(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"missing: {', '.join(missing)}")


requires_root = pytest.mark.skipif(os.geteuid() != 0, reason="missing: root")
"""Mark a test that makes network namespaces, changes users or roots."""

CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21


def has_capabilities(*numbers: int) -> bool:
    """Tell whether this process holds all these capabilities: root in a container may not. Source: proc(5)."""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    held = int(found[1], 16) if found else 0
    return all(held >> number & 1 for number in numbers)


def requires_namespaces(test: Test) -> Test:
    """Mark a test that uses the lab: it needs root's right to make network namespaces, and the programs for it."""
    able = has_capabilities(CAP_NET_ADMIN, CAP_SYS_ADMIN)
    allowed = pytest.mark.skipif(not able, reason="missing: the right to make network namespaces (root)")
    marked: Test = allowed(requires_program("ip", "nsenter")(test))
    return marked

"""The rules of ARCHITECTURE.md and of the house style, walked over every source module: who may import whom, what has
no clock and no socket, how large a thing may be, and that each module has the test that mirrors it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit import source
from tests.kit.source import Module, within

ROOT = Path(__file__).parents[1]
MODULES = source.load(ROOT, ("proxyd", "workers"))

SANS_IO = (
    "workers.wire",
    "workers.policy",
    "workers.session",
    "workers.uftp",
    "workers.engine",
    "workers.deadlines",
    "workers.net.segments",
    "proxyd.daemon.roster",
    "proxyd.daemon.rollout",
    "proxyd.offload.ebpf",
    "proxyd.offload.flows",
    "proxyd.offload.program",
)
"""Pure: the clock, entropy and sockets come in as arguments, datagrams and log records go out as values."""
IO_MODULES = frozenset(
    {"socket", "os", "time", "random", "secrets", "logging", "select", "selectors", "mmap", "signal"}
)
HEAVY_MODULES = frozenset({"subprocess", "threading", "asyncio", "ctypes"})

CTYPES_HOMES = (
    "workers.net.mmsg",
    "workers.net.cbpf",
    "workers.sandbox",
    "proxyd.daemon.capabilities",
    "proxyd.daemon.thrift",
    "proxyd.offload.kernel",
)
CRYPTOGRAPHY_HOMES = tuple(f"workers.uftp.{name}" for name in ("ciphers", "curves", "hashes", "keys", "pem", "seal"))
"""The tables that name its classes, and what works with them; the engine above sees bytes and our own classes."""

KEY_MODULES = tuple(f"workers.uftp.{name}" for name in ("curves", "fingerprint", "keys", "pem", "primes"))
# What each part of the parent's side may import of the children's; the longest row that fits a module is its own.
PARENT_MAY_IMPORT = {
    "proxyd": ("workers.contract", "workers.errors"),
    "proxyd.config": ("workers.contract", "workers.errors", "workers.policy"),
    "proxyd.config.explanation": (
        "workers.contract",
        "workers.errors",
        "workers.policy",
        "workers.session.sources",
        "workers.wire.sockaddr",
    ),
    "proxyd.config.machine": ("workers.contract", "workers.errors", "workers.policy", "workers.resolver.system"),
    "proxyd.cli.test_udp": ("workers.contract", "workers.errors", "workers.policy", "workers.resolver"),
    "proxyd.control.userfile": (
        "workers.contract",
        "workers.errors",
        "workers.policy.hostset",
        "workers.policy.users",
    ),
    "proxyd.daemon.sockets": ("workers.contract", "workers.errors", "workers.net.cbpf"),
    "proxyd.daemon.membership": ("workers.contract", "workers.errors", "workers.net.cbpf"),
    "proxyd.daemon.emptying": ("workers.contract", "workers.errors", "workers.net.ancillary", "workers.wire.sockaddr"),
    "proxyd.daemon.homes": (
        "workers.contract",
        "workers.errors",
        "workers.net.cbpf",
        "workers.net.delivery",
        "workers.net.interfaces",
        "workers.wire.sockaddr",
    ),
    "proxyd.daemon.resettling": (
        "workers.contract",
        "workers.errors",
        "workers.net.cbpf",
        "workers.net.delivery",
        "workers.net.interfaces",
        "workers.wire.sockaddr",
    ),
    "proxyd.daemon.routing": ("workers.contract", "workers.errors", "workers.wire.netlink"),
    "proxyd.daemon.offering": ("workers.contract", "workers.errors", "workers.wire.sockaddr"),
    "proxyd.daemon.places": ("workers.contract", "workers.errors", "workers.net.interfaces"),
    "proxyd.daemon.oob": ("workers.contract", "workers.errors", "workers.policy.users"),
    "proxyd.daemon.spawn": ("workers",),
    "proxyd.daemon.naming": ("workers.boot", "workers.contract", "workers.errors", "workers.resolver"),
    "proxyd.daemon.monitoring": ("workers.boot", "workers.contract", "workers.errors"),
    "proxyd.daemon.session": ("workers.contract", "workers.errors", "workers.loop"),
    "proxyd.offload": ("workers.contract", "workers.errors"),
    "proxyd.offload.flows": ("workers.wire.sockaddr",),
    "proxyd.offload.ways": ("workers.errors", "workers.wire.netlink"),
    "proxyd.uftp": (
        "workers.contract",
        "workers.errors",
        "workers.multicast",
        "workers.uftploop",
        "workers.net.cbpf",
        "workers.net.interfaces",
        "workers.wire.sockaddr",
        *(f"workers.uftp.{name}" for name in ("fingerprint", "keyring", "keys", "pem")),
    ),
    "proxyd.keys": ("workers.errors", *KEY_MODULES),
    "proxyd.cli.uftp_keymgt": KEY_MODULES,
}

BROAD_EXCEPT_HOMES = ("workers.loop", "workers.boot", "proxyd.cli", "proxyd.daemon.detach")
"""The turn of the loop, a child's, the daemon's and a command's main: each writes the traceback to the log."""

FORBIDDEN_MODULES = frozenset({"util", "utils", "helper", "helpers", "common", "misc", "manager", "tools"})
FORBIDDEN_WORDS = {
    "packet": "datagram",
    "pkt": "datagram",
    "pdu": "message",
    "whitelist": "rule",
    "blacklist": "rule",
    "slave": "worker",
    "buf": "slot or arena",
    "conn": "session",
    "mgr": "what it does",
    "tmp": "what it holds",
}
WORD_HOMES = {"packet": ("workers.net", "workers.forwarder", "workers.outbound")}
"""Where such a word means something else: the kernel's packet information."""

FLAT_RECORDS: dict[str, str] = {
    "workers.session.session": "one object a session, read for every datagram: a nested one costs 100 bytes and 40 ns",
}
"""Modules whose class has more attributes than the house allows, and why."""

WITHOUT_MIRROR: dict[str, str] = {
    "proxyd.errors": "data only; each error's text is tested where it is raised",
    "proxyd.offload.errors": "data only; its text is tested where it is raised",
    "proxyd.daemon.journal": "protocols only; what is written is tested where it is written",
    "workers.errors": "data only; each error is tested where it is raised",
    "workers.contract.context": "data only: what a worker is given",
    "workers.contract.exitcodes": "data only; each status is tested where a child ends",
    "workers.contract.messages": "data only; encoding and bounds are tested in test_channel",
    "workers.contract.uftp": "data only; filled and tested by proxyd.uftp",
    "workers.uftp.actions": "data only: what goes into the UFTP machine and comes out",
}


def every(modules: list[Module]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("module", modules, ids=[module.name for module in modules])


def holds(module: Module, *rules: Callable[..., list[str]]) -> None:
    findings = [f"{module.path}: {finding}" for rule in rules for finding in rule(module.tree)]
    assert not findings, "\n".join(findings)


def forbidden_imports(module: Module, forbidden: Callable[[str], bool]) -> list[str]:
    return [f"{module.path}:{line} imports {name}" for name, line in source.imports(module.tree) if forbidden(name)]


def parent_may_import(module: Module, name: str) -> bool:
    row = max((package for package in PARENT_MAY_IMPORT if within(module.name, package)), key=len)
    # `from workers.net import cbpf` names `workers.net` first, which says nothing yet, and then `workers.net.cbpf`.
    return not within(name, "workers") or any(within(name, ok) or within(ok, name) for ok in PARENT_MAY_IMPORT[row])


@every([module for module in MODULES if within(module.name, "workers")])
def test_the_childrens_side_never_imports_the_parents(module: Module) -> None:
    assert not forbidden_imports(module, lambda name: within(name, "proxyd"))


@every([module for module in MODULES if within(module.name, "proxyd")])
def test_the_parents_side_imports_only_what_it_may_of_the_childrens(module: Module) -> None:
    assert not forbidden_imports(module, lambda name: not parent_may_import(module, name))


@every([module for module in MODULES if any(within(module.name, pure) for pure in SANS_IO)])
def test_a_pure_module_does_no_io(module: Module) -> None:
    assert not forbidden_imports(module, lambda name: name.split(".")[0] in IO_MODULES | HEAVY_MODULES)
    assert not forbidden_imports(module, lambda name: within(name, "workers.net") and name != "workers.net.segments")
    holds(module, source.clock_reads)


@every([module for module in MODULES if within(module.name, "workers.session") or within(module.name, "workers.uftp")])
def test_the_two_engines_never_import_each_other(module: Module) -> None:
    other = "workers.uftp" if within(module.name, "workers.session") else "workers.session"
    assert not forbidden_imports(module, lambda name: within(name, other))


@every(MODULES)
def test_foreign_calls_and_cryptography_stay_in_their_homes(module: Module) -> None:
    if module.name not in CTYPES_HOMES:
        assert not forbidden_imports(module, lambda name: within(name, "ctypes"))
    if module.name not in CRYPTOGRAPHY_HOMES:
        assert not forbidden_imports(module, lambda name: within(name, "cryptography"))


@every(MODULES)
def test_imports_are_absolute_and_at_the_top(module: Module) -> None:
    holds(module, source.relative_imports, source.imports_in_functions)


@every([module for module in MODULES if not any(within(module.name, home) for home in BROAD_EXCEPT_HOMES)])
def test_no_handler_swallows_our_own_mistakes(module: Module) -> None:
    holds(module, source.broad_excepts)


@every(MODULES)
def test_nothing_is_larger_than_the_hard_stops(module: Module) -> None:
    findings = [
        f"{module.path}: {finding}"
        for finding in source.oversized(module.tree)
        if not (module.name in FLAT_RECORDS and finding.endswith(f"attributes, more than {source.MAX_ATTRIBUTES}"))
    ]
    assert not findings, "\n".join(findings)


@every(MODULES)
def test_names_are_the_houses(module: Module) -> None:
    assert module.path.stem not in FORBIDDEN_MODULES
    findings = [
        f"{module.path}:{line} {name}: say {FORBIDDEN_WORDS[word]}"
        for name, line in source.defined_names(module.tree)
        for word in sorted(source.words(name) & FORBIDDEN_WORDS.keys())
        if not any(within(module.name, home) for home in WORD_HOMES.get(word, ()))
    ]
    assert not findings, "\n".join(findings)


@every([module for module in MODULES if not source.is_empty(module.tree)])
def test_every_module_has_its_mirror_test_or_a_reason(module: Module) -> None:
    mirror = ROOT / "tests" / module.path.with_name(f"test_{module.path.name}")
    if module.name in WITHOUT_MIRROR:
        assert not mirror.exists(), f"{module.name} has a test now: take it from the list"
    else:
        assert mirror.exists(), f"{mirror.relative_to(ROOT)} is missing"


def test_the_list_of_modules_without_a_test_names_only_modules_that_exist() -> None:
    assert set(WITHOUT_MIRROR) <= {module.name for module in MODULES}


def test_both_sides_were_found() -> None:
    names = {module.name for module in MODULES}
    assert {"proxyd.errors", "workers.errors", "workers.contract.settings"} <= names

"""Configurations for tests: a valid frame into which the tests put what they are about."""

from __future__ import annotations

from proxyd.config.compiler import Compiled
from proxyd.config.load import load_text
from proxyd.config.parser import parse
from proxyd.config.statements import Member
from proxyd.errors import ConfigErrors
from workers.contract.settings import AclSettings

ACTIONS = "accept; plug-to [192.0.2.53] : 53; timeout both 5;"
LISTEN = "non-transparent [127.0.0.1] port 5300;"


def config(
    file: str = "", proxy: str = "", listen: str = LISTEN, server: str = "max-sessions 10;", acls: str | None = None
) -> str:
    """Return a whole configuration, on one line as far as the parts are."""
    rules = f"session-acl OK {{ {ACTIONS} }}" if acls is None else acls
    return (
        f"version KERNUN-2_3-RELEASE; {file} udp-proxy DNS {{ {proxy} listen-on {{ {listen} }}"
        f" udpserver {{ {server} }} {rules} }}"
    )


def acl(body: str, **parts: str) -> str:
    """Return a configuration with this one rule."""
    return config(acls=f"session-acl A {{ {body} }}", **parts)


def compiled_acl(body: str, **parts: str) -> AclSettings:
    return load_text(acl(body, **parts), "t.cfg").settings.acls[0]


def load(text: str) -> Compiled:
    return load_text(text, "t.cfg")


def errors(text: str) -> list[str]:
    """Return what is wrong with a configuration, without positions; empty when nothing is."""
    try:
        load(text)
    except ConfigErrors as found:
        return [f"{error.path}: {error.found}; {error.wanted}" for error in found.errors]
    return []


def warnings(text: str) -> list[str]:
    """Return the warnings of a valid configuration, without positions."""
    return [f"{entry.found}; {entry.wanted}" for entry in load(text).warnings]


def element(text: str) -> Member:
    """Return one element as the parser makes it."""
    return parse(f"x {text};", "t", lambda _: True)[0].elements[0]

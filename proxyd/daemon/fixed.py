"""What of a configuration cannot change while the proxy runs, and what counts only from its next start on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from workers.contract.settings import Settings


class Fixed(NamedTuple):
    """A keyword, and the fields of Settings that it becomes."""

    keyword: str
    fields: tuple[str, ...]


REFUSED = (
    Fixed("udp-proxy", ("name",)),
    Fixed("singleproc", ("single_process",)),
    Fixed("app-user", ("app_user", "app_group")),
    Fixed("chroot-dir", ("chroot_dir",)),
)
"""Sessions, sockets and processes depend on these: the proxy must be started anew."""
LATER = (
    Fixed("nodaemon", ("foreground",)),
    Fixed("control", ("control",)),
    Fixed("offload", ("offload",)),
)
"""Taken from the next start on. The number of workers is, too, where it cannot change (proxyd.daemon.resettling)."""


def refusals(before: Settings, after: Settings, places: Mapping[str, str]) -> list[str]:
    """Return a line for everything that may not change and has. places: where keywords stand."""
    return [
        f"{_place(keyword, places)}'{keyword}' cannot change while the proxy runs; that takes a restart"
        for keyword, fields in REFUSED
        if _differ(before, after, fields)
    ]


def deferred(before: Settings, after: Settings, places: Mapping[str, str]) -> list[str]:
    """Return a line for everything that has changed and counts only from the next start on."""
    return [
        f"{_place(keyword, places)}'{keyword}' counts from the next start on"
        for keyword, fields in LATER
        if _differ(before, after, fields)
    ]


def postponed(keyword: str, places: Mapping[str, str], why: str) -> str:
    """Return the line for something that could count at once elsewhere, and why not here."""
    return f"{_place(keyword, places)}'{keyword}' counts from the next start on: {why}"


def keep_fixed(before: Settings, after: Settings) -> Settings:
    """Return the new settings, with what counts only from the next start on as it was."""
    return replace(after, **{name: getattr(before, name) for _, fields in LATER for name in fields})


def _differ(before: Settings, after: Settings, fields: tuple[str, ...]) -> bool:
    return any(getattr(before, name) != getattr(after, name) for name in fields)


def _place(keyword: str, places: Mapping[str, str]) -> str:
    place = places.get(keyword) or places.get("udp-proxy")
    return "" if place is None else f"{place}: "

"""Test expressions: the argument of test-udp -t, checked by the same table and grammar as a configuration.

Source: test-udp(8), TEST EXPRESSIONS.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from proxyd.config.checker import Checker
from proxyd.config.keywords import EXPRESSION_ROW, is_item
from proxyd.config.parser import parse
from proxyd.config.tree import Item
from proxyd.errors import ConfigErrors
from workers.contract.settings import Address, HostName, Sock
from workers.policy.timecond import CivilTime

EXPRESSION_NAME = "test_expr"
"""What stands for the file in messages."""
ANY_ADDRESS = Address(4, 0)
ONLY_PHASE = 1


@dataclass(frozen=True, slots=True)
class Probe:
    """One search to try. server None: as the rules say. when: local time."""

    client: Address | HostName
    destination: Sock
    transparent: bool
    server: Sock | None
    user: str | None
    groups: frozenset[str]
    when: CivilTime
    has_destination: bool = True


@dataclass(frozen=True, slots=True)
class ShowAcl:
    """Print the rules."""


@dataclass(frozen=True, slots=True)
class ShowProxy:
    """Print the proxy section; everything: with defaults."""

    everything: bool


@dataclass(frozen=True, slots=True)
class ShowHash:
    """Print the hash of the configuration."""


@dataclass(frozen=True, slots=True)
class Help:
    """Print what expressions there are."""


Command: TypeAlias = Probe | ShowAcl | ShowProxy | ShowHash | Help


def parse_expression(text: str, now: datetime) -> tuple[Command, ...]:
    """Return the commands of an expression, in its order. now: local time. Raises ConfigErrors."""
    checker = Checker(EXPRESSION_NAME)
    tree = checker.check(parse(text, EXPRESSION_NAME, is_item, "the end of the expression"), EXPRESSION_ROW)
    commands = [_command(item, checker, now) for item in tree.items if item.sound]
    if not tree.items and not checker.errors:
        checker.errors.append(tree.error("found an empty expression", "wanted an item, as 'help;'"))
    if checker.errors:
        raise ConfigErrors(sorted(checker.errors, key=lambda error: error.position))
    return tuple(commands)


def _command(item: Item, checker: Checker, now: datetime) -> Command:
    match item.row.name:
        case "show-acl":
            if item.get("phase") != ONLY_PHASE:
                found = f"found the phase {item.get('phase')}"
                checker.errors.append(item.error(found, f"wanted {ONLY_PHASE}, the only one here", "phase"))
            return ShowAcl()
        case "show-proxy":
            return ShowProxy("all" in item)
        case "show-hash":
            return ShowHash()
        case "help":
            return Help()
        case _:
            return _test(item, checker, now)


def _test(item: Item, checker: Checker, now: datetime) -> Probe:
    if "group" in item and "user" not in item:
        checker.errors.append(item.error("found 'group' without 'user'", "wanted a user who is in the group", "group"))
    return Probe(
        client=item.get("from") or ANY_ADDRESS,
        destination=item.get("to") or Sock(ANY_ADDRESS, None),
        transparent="transparent" in item,
        server=item.get("server"),
        user=item.get("user"),
        groups=frozenset(item.get("group") or ()),
        when=_when(item, checker, now),
        has_destination="to" in item,
    )


def _when(item: Item, checker: Checker, now: datetime) -> CivilTime:
    """Return the moment to test for; what the number leaves out is taken from now."""
    number = item.get("time") or 0
    moment = _moment(number, now) if number else now
    if moment is None:
        wanted = "wanted [[mm]dd]hhmm, a time of a day of this year, or 0 for now"
        digits = str(number).zfill(4)
        shown = digits.zfill(len(digits) + len(digits) % 2)
        checker.errors.append(item.error(f"found the time '{shown}'", wanted, "time"))
        moment = now
    return CivilTime(moment.month, moment.day, moment.isoweekday() % 7, moment.hour * 60 + moment.minute)


def _moment(number: int, now: datetime) -> datetime | None:
    """Return the moment that [[mm]dd]hhmm means this year, None when there is none."""
    month, day = divmod(number // 10_000, 100)
    hour, minute = divmod(number % 10_000, 100)
    try:
        return now.replace(month=month or now.month, day=day or now.day, hour=hour, minute=minute)
    except ValueError:
        return None

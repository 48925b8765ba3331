"""A child's way from the fork to its work: close what is not its own, confine itself, say Ready, serve, end.

It decides nothing about the work: that is the callable it is given. Whatever goes wrong is told to the parent over the
channel, and by the exit status whether it is worth trying again.
"""

from __future__ import annotations

import gc
import os
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from workers import privilege, titles
from workers.contract.channel import ChildEnd
from workers.contract.context import Confinement
from workers.contract.exitcodes import ExitCode
from workers.contract.messages import Failed, LogBatch, LogRecord, Ready
from workers.contract.offload import Records
from workers.contract.rates import RateRegion
from workers.contract.slots import Region
from workers.errors import BootError, ContractError, PrivilegeError

Serve: TypeAlias = Callable[[int], ExitCode]
"""A child's work: takes the descriptor that becomes readable when a signal came, returns how it ended."""

HANDLED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGRTMIN + 1)
"""Signals a child's work is told of, one byte each."""
_IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGWINCH, signal.SIGPIPE)
"""A terminal sends these to the whole group; the parent alone answers them."""
_DEFAULT = (signal.SIGCHLD,)
_TRACEBACK_CHARS = 8000


@dataclass(frozen=True, slots=True)
class BootPlan:
    """What a child needs to begin.

    child: its name in the log, as `worker 0`. proxy: the proxy's name; program: the program's. keep: every descriptor
    it owns, the channel's among them, standard streams not. foreign: regions of other children, which it must not see.
    """

    child: str
    proxy: str
    channel: ChildEnd
    keep: frozenset[int]
    confinement: Confinement
    foreign: tuple[Region | RateRegion | Records, ...] = ()
    program: str = "udp-proxy"


def run_child(plan: BootPlan, serve: Serve) -> NoReturn:
    """Run a child from its fork to its end; never return. The caller has blocked all signals before it forked.

    The parent's objects stay referenced by the frames below this one, so that no finaliser closes a descriptor number
    that the child uses by then for something else.
    """
    code = ExitCode.CRASHED
    try:
        gc.freeze()
        code = _boot(plan, serve)
    except Exception:  # a child's main: the only place that may, and it says so in the log
        _tell_traceback(plan)
    finally:
        os._exit(code)


def close_others(keep: frozenset[int]) -> None:
    """Close every descriptor but keep; the standard streams become /dev/null, so that no terminal is left open."""
    null = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    # Gap by gap, one call each: the parent may hold thousands. The listing's own descriptor is gone already, or closed.
    last = max(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208 - a Path for each of thousands costs 10 ms
    before = 2
    for descriptor in sorted(descriptor for descriptor in keep if descriptor > 2):
        os.closerange(before + 1, descriptor)
        before = descriptor
    os.closerange(before + 1, last + 1)


def watch_signals() -> int:
    """Let signals write their number to a pipe; return the end to read, which never blocks."""
    readable, writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in HANDLED:
        signal.signal(number, _note_nothing)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    for number in _DEFAULT:
        signal.signal(number, signal.SIG_DFL)
    return readable


def _boot(plan: BootPlan, serve: Serve) -> ExitCode:
    try:
        for region in plan.foreign:
            region.unmap()
        close_others(plan.keep)
        wakeup = watch_signals()
        titles.show_title(plan.child, plan.proxy, plan.program)
        privilege.confine(plan.confinement, plan.keep)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        plan.channel.send(Ready())
    except BootError as error:
        return _tell_failure(plan, error.step, error.reason, ExitCode.BOOT)
    except PrivilegeError as error:
        return _tell_failure(plan, "give up privileges", str(error), ExitCode.PRIVILEGE)
    except ContractError:
        return ExitCode.CONTRACT
    try:
        return serve(wakeup)
    except ContractError:
        return ExitCode.CONTRACT


def _tell_failure(plan: BootPlan, step: str, reason: str, code: ExitCode) -> ExitCode:
    try:
        plan.channel.send(Failed(step, reason))
    except ContractError:
        return ExitCode.CONTRACT
    return code


def _tell_traceback(plan: BootPlan) -> None:
    text = traceback.format_exc()[-_TRACEBACK_CHARS:]
    try:
        plan.channel.send(LogBatch([LogRecord("traceback", 0, (plan.child, text))], 0))
    except ContractError:
        return


def _note_nothing(_number: int, _frame: object) -> None:
    """Do nothing: the wakeup descriptor has the number already."""

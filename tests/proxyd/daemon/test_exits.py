"""The exit statuses are the machine's own, where it has names for them."""

from __future__ import annotations

import os

from proxyd.cli.arguments import EXIT_USAGE
from proxyd.daemon.exits import ExitStatus


def test_statuses_are_those_of_sysexits() -> None:
    assert ExitStatus.OK == os.EX_OK
    assert ExitStatus.USAGE == EXIT_USAGE == os.EX_USAGE
    assert ExitStatus.UNAVAILABLE == os.EX_UNAVAILABLE
    assert ExitStatus.SOFTWARE == os.EX_SOFTWARE


def test_a_configuration_error_is_1() -> None:
    assert ExitStatus.CONFIGURATION == 1

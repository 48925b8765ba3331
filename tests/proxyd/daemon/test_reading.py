"""What errors say, a line each mistake."""

from __future__ import annotations

from proxyd.daemon.reading import mistakes
from proxyd.errors import ConfigError, ConfigErrors, Position, SetupError


def test_every_mistake_of_a_file_has_its_line() -> None:
    errors = [ConfigError(Position("f", line, 1), "", "found x", "wanted y") for line in (3, 5)]
    assert mistakes(ConfigErrors(errors)) == ("f:3:1: found x; wanted y", "f:5:1: found x; wanted y")


def test_what_the_machine_refuses_is_one_line() -> None:
    assert mistakes(SetupError("bind [::1]:5", "in use")) == ("bind [::1]:5: in use",)

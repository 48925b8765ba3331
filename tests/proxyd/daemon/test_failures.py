"""Why an upgrade has failed, in a sentence for who asked for it."""

from __future__ import annotations

import pytest

from proxyd.daemon.failures import MAX_LINES, Failure, of_end, of_silence, of_takeover, words_of

HEAD = "Nov  2 06:23:52 vm udp-proxy[5068.0]: "
TRACEBACK = 'Traceback (most recent call last):\n  File "x", line 1, in <module>\nImportError: no module named x\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        (f"{HEAD}CFGP-300-E f:1:1: found x\n{HEAD}CFGP-300-E f:2:1: found y\n", ("f:1:1: found x", "f:2:1: found y")),
        (f"{HEAD}the file cannot be read", ("the file cannot be read",)),
        ("udp-proxy: open log-debug /nowhere: No such file", ("open log-debug /nowhere: No such file",)),
        ("uftpproxyd: found 'x'; wanted y\nusage: uftpproxyd { -s\n  [options]\n", ("found 'x'; wanted y",)),
        (TRACEBACK, ("ImportError: no module named x",)),
        ("line\n" * 2 * MAX_LINES, ("line",) * MAX_LINES),
    ],
)
def test_of_what_a_program_writes_only_its_meaning_is_told(text: str, words: tuple[str, ...]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("status", "text", "checking", "why"),
    [
        (1, f"{HEAD}CFGP-300-E f:1:1: found x", True, "does not take the configuration: f:1:1: found x"),
        (1, TRACEBACK, True, "does not come up: ImportError: no module named x"),
        (69, "udp-proxy: app-user x: no such user", True, "does not come up: app-user x: no such user"),
        (69, "udp-proxy: bind: in use", False, "does not come up: bind: in use"),
        (127, "/b/udp-proxy: No such file", True, "cannot be started: /b/udp-proxy: No such file"),
        (127, "", True, "cannot be started"),
        (3, "", True, "ended with exit status 3 when it was to check its configuration, and said nothing"),
        (0, "", False, "ended with exit status 0 before it took over; its log may say why"),
        (-9, "", False, "was ended by SIGKILL before it took over; its log may say why"),
        (-99, "", False, "was ended by signal 99 before it took over; its log may say why"),
    ],
)
def test_each_kind_of_failure_has_its_sentence(status: int, text: str, checking: bool, why: str) -> None:
    assert of_end(status, text, checking=checking) == Failure(f"the new program {why}")


def test_several_mistakes_are_counted_and_told_one_by_one() -> None:
    failure = of_end(1, "f:1:1: a\nf:2:1: b\n", checking=True)
    assert failure == Failure("the new program does not take the configuration: 2 mistakes", ("f:1:1: a", "f:2:1: b"))
    assert failure.line == "the new program does not take the configuration: 2 mistakes: f:1:1: a; f:2:1: b"


def test_a_program_that_says_nothing_is_named_by_its_process() -> None:
    assert of_silence(7, checking=True).line == "the new program, process 7, does not come to an end with its check"
    assert of_silence(7, checking=False).line == "the new program, process 7, does not ask to take over"


def test_one_that_fails_when_it_takes_over_has_its_own_words() -> None:
    assert of_takeover("bind [::1]:53: in use") == Failure("the new program does not come up: bind [::1]:53: in use")

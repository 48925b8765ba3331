"""Both logs together: where they go, what the level lets through, what the owner is told."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxyd.errors import SetupError
from proxyd.logs.fields import Field, FieldError
from proxyd.logs.lines import Format
from proxyd.logs.rolling import RollingFile
from proxyd.logs.setup import EarlyLog, Log, Logs, Places, host_name, open_logs, open_refusal_log
from workers.contract.messages import LogRecord
from workers.contract.settings import LogSettings, Settings, SyslogFailure

CLIENT = struct.pack("=H", socket.AF_INET) + struct.pack(">H4s8x", 4711, bytes((10, 0, 0, 1)))
_WORDS = ("timeout-in", "ACCEPTED", "ACCEPTED", "OK", "A")
ENDED: tuple[Field, ...] = (CLIENT, CLIENT, 0, None, *_WORDS, 1, 2, 3, 4, CLIENT, CLIENT, 5)
BLANK = Settings(name="DNS", listeners=(), max_sessions=1, workers=1, acls=())


class Stage:
    """A machine of its own for the logs: a syslog socket, a standard error, a directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.receiver.bind(str(folder / "log"))
        self.receiver.setblocking(False)
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.places = Places(syslog=str(folder / "log"), fallback_dir=str(folder), stderr_fd=self.writer)

    def open(self, debug: LogSettings, stats: LogSettings, *, foreground: bool = False) -> Logs:
        """Open logs on this stage."""
        return open_logs(replace(BLANK, debug_log=debug, stats_log=stats), foreground, "DNS", self.places)

    def files(self, debug: LogSettings | None = None, stats: LogSettings | None = None) -> Logs:
        """Open logs on the files debug and stats."""
        return self.open(
            replace(debug or LogSettings(), file=str(self.folder / "debug")),
            replace(stats or LogSettings(), file=str(self.folder / "stats")),
        )

    def read(self, name: str) -> str:
        """Return the text of a file."""
        return (self.folder / name).read_text()

    def syslog(self) -> list[str]:
        """Return what syslog got."""
        received = []
        while True:
            try:
                received.append(self.receiver.recv(1 << 16).decode())
            except BlockingIOError:
                return received

    def stderr(self) -> str:
        """Return what standard error got, empty when it got nothing."""
        try:
            return os.read(self.reader, 1 << 16).decode()
        except BlockingIOError:
            return ""

    def close(self) -> None:
        """Close every end."""
        self.receiver.close()
        os.close(self.reader)
        os.close(self.writer)


@pytest.fixture
def stage() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="log") as folder:  # tmp_path is too long for a socket's name
        made = Stage(Path(folder))
        yield made
        made.close()


def end_session(logs: Logs) -> None:
    logs.write(LogRecord("session-end", 17, ENDED), 2018)
    logs.flush()


def ids(text: str) -> list[str]:
    return re.findall(r"\b[A-Z]{4}-[0-9]{3}-[A-Z]\b", text)


# --- where lines go ----------------------------------------------------------------------------------------------


def test_each_log_has_its_file(stage: Stage) -> None:
    logs = stage.files()
    end_session(logs)
    assert ids(stage.read("debug")) == ["UDPP-712-N", "UDPP-711-I"]
    assert ids(stage.read("stats")) == ["UDPP-888-I"]
    assert re.match(rf"\w{{3}} [ \d]\d \d\d:\d\d:\d\d {host_name()} DNS\[2018\.17\]: UDPP-888-I ", stage.read("stats"))
    logs.close()


def test_without_a_target_lines_go_to_local4_and_local5(stage: Stage) -> None:
    logs = stage.open(LogSettings(), LogSettings())
    end_session(logs)
    lines = sorted(stage.syslog())
    assert [re.sub(r">.*?: ", "> ", line)[:16] for line in lines] == [
        "<165> UDPP-712-N",
        "<166> UDPP-711-I",
        "<174> UDPP-888-I",
    ]
    logs.close()


def test_in_the_foreground_lines_go_to_standard_error(stage: Stage) -> None:
    logs = stage.open(LogSettings(), LogSettings(), foreground=True)
    end_session(logs)
    assert ids(stage.stderr()) == ["UDPP-712-N", "UDPP-711-I", "UDPP-888-I"]
    assert stage.syslog() == []
    logs.close()


def test_a_facility_means_syslog_even_in_the_foreground(stage: Stage) -> None:
    logs = stage.open(LogSettings(facility=3), LogSettings(), foreground=True)
    end_session(logs)
    assert [line.partition(">")[0] for line in stage.syslog()] == ["<29", "<30"]
    assert ids(stage.stderr()) == ["UDPP-888-I"]
    logs.close()


def test_one_file_for_both_logs_is_opened_once_and_rolls_once(stage: Stage) -> None:
    both = LogSettings(file=str(stage.folder / "all"), rotate_bytes=1000, rotate_count=1)
    logs = stage.open(both, replace(both, file=f"{stage.folder}/../{stage.folder.name}/all"))
    end_session(logs)
    assert ids(stage.read("all")) == ["UDPP-712-N", "UDPP-711-I", "UDPP-888-I"]
    logs.close()


def test_each_log_has_its_format(stage: Stage) -> None:
    logs = stage.files(stats=LogSettings(json=True))
    end_session(logs)
    assert json.loads(stage.read("stats"))["fields"]["rule"] == "A"
    assert stage.read("debug").startswith(("J", "F", "M", "A", "S", "O", "N", "D"))
    logs.close()


def test_a_file_rolls_as_the_settings_say(stage: Stage) -> None:
    logs = stage.files(debug=LogSettings(rotate_bytes=1, rotate_count=2))
    end_session(logs)
    end_session(logs)
    assert sorted(path.name for path in stage.folder.glob("debug*")) == ["debug", "debug.1", "debug.2"]
    logs.close()


def test_a_file_that_cannot_be_opened_names_the_section_and_opens_nothing(stage: Stage) -> None:
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - names alone are wanted
    missing = str(stage.folder / "missing" / "stats")
    with pytest.raises(SetupError, match=f"open log-stats {missing}: No such file or directory"):
        stage.open(LogSettings(file=str(stage.folder / "debug")), LogSettings(file=missing))
    assert len(os.listdir("/proc/self/fd")) == len(before)  # noqa: PTH208 - as above


def test_stop_without_a_receiver_does_not_start(stage: Stage) -> None:
    (stage.folder / "log").unlink()
    with pytest.raises(SetupError, match=r"open log-debug .*: No such file or directory"):
        stage.open(LogSettings(syslog_failure=SyslogFailure.STOP), LogSettings())


def test_ignore_without_a_receiver_starts(stage: Stage) -> None:
    (stage.folder / "log").unlink()
    logs = stage.open(LogSettings(), LogSettings())
    end_session(logs)
    assert logs.waiting
    assert logs.failure is None
    logs.close()
    assert logs.shed == 3


def test_the_fallback_file_is_named_after_the_proxy_and_the_log(stage: Stage) -> None:
    (stage.folder / "log").unlink()
    mode = LogSettings(syslog_failure=SyslogFailure.FILE)
    logs = open_logs(replace(BLANK, debug_log=mode, stats_log=mode), False, "a/b", stage.places)
    end_session(logs)
    logs.close()
    assert ids(stage.read("a_b-debug.log")) == ["UDPP-712-N", "UDPP-711-I"]
    assert ids(stage.read("a_b-stats.log")) == ["UDPP-888-I"]


# --- levels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "written"),
    [
        (3, "CEIKN"),
        (4, "CEIKNW"),
        (6, "CEIKNW"),
        (7, "CDEIKNW"),
        (8, "CDEIKNW"),
        (9, "CDEFIKNW"),
    ],
)
def test_the_level_lets_through_what_it_says(stage: Stage, level: int, written: str) -> None:
    logs = stage.files(LogSettings(level=level))
    logs.note("too-many-deaths")
    logs.note("setup-failed", "bind", "in use")
    logs.note("shed", 1)
    logs.note("acl", None, None, 0, None, None, "REJECTED")
    logs.note("session-start", None, None, 0, None, "normal")
    logs.note("unbound")
    logs.note("configured", "a.cfg")
    logs.note("payload", "out", None, 0, b"")
    logs.flush()
    assert "".join(sorted(name[-1] for name in ids(stage.read("debug")))) == written
    logs.close()


@pytest.mark.parametrize(("asked", "level"), [(2, 3), (3, 3), (9, 9), (10, 9), (-5, 3)])
def test_the_level_stays_between_three_and_nine(stage: Stage, asked: int, level: int) -> None:
    logs = stage.files()
    logs.level = asked
    assert logs.level == level
    logs.close()


def test_a_level_that_is_set_counts_from_the_next_line_on(stage: Stage) -> None:
    logs = stage.files(LogSettings(level=6))
    logs.note("configured", "one")
    logs.level += 1
    logs.note("configured", "two")
    logs.flush()
    assert "two" in stage.read("debug")
    assert "one" not in stage.read("debug")
    logs.close()


def test_a_childs_lines_are_written_whatever_the_parents_level_is_k100(stage: Stage) -> None:
    logs = stage.files(LogSettings(level=3))
    logs.write(LogRecord("payload", 17, ("out", None, 0, b"")), 2018)
    logs.note("payload", "out", None, 0, b"")
    logs.flush()
    said = re.findall(r"DNS\[[0-9.]+\]", stage.read("debug"))
    assert set(said) == {"DNS[2018.17]"}
    logs.close()


def test_statistics_are_written_at_the_lowest_level(stage: Stage) -> None:
    logs = stage.files(LogSettings(level=3), LogSettings(level=3))
    end_session(logs)
    assert ids(stage.read("stats")) == ["UDPP-888-I"]
    logs.close()


# --- notes -------------------------------------------------------------------------------------------------------


def test_a_note_is_the_main_programs_unless_it_says_otherwise(stage: Stage) -> None:
    logs = stage.files()
    logs.note("unbound")
    logs.note("unbound", pid=7, track=3)
    logs.flush()
    assert re.findall(r"DNS\[[0-9.]+\]", stage.read("debug")) == [f"DNS[{os.getpid()}.0]", "DNS[7.3]"]
    logs.close()


def test_an_event_that_nobody_knows_is_refused(stage: Stage) -> None:
    logs = stage.files()
    with pytest.raises(FieldError, match="no such event: 'x"):
        logs.note("x" * 100_000)
    with pytest.raises(FieldError):
        logs.note("bound", "not an address", 1)
    logs.close()


# --- the owner's duties ------------------------------------------------------------------------------------------


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_closed_log_leaves_no_descriptor_open(stage: Stage) -> None:
    before = open_files()
    logs = stage.open(LogSettings(file=str(stage.folder / "debug")), LogSettings())
    assert open_files() == before + 2
    logs.close()
    assert open_files() == before


def test_a_busy_receiver_is_something_to_wait_for(stage: Stage) -> None:
    logs = stage.open(LogSettings(), LogSettings(file=str(stage.folder / "stats")))
    for _ in range(3000):
        logs.note("unbound")
    logs.flush()
    assert logs.waiting
    while logs.waiting:
        assert stage.syslog()
        logs.flush()
    logs.close()


def test_lost_lines_are_told_once_the_log_works_again(stage: Stage) -> None:
    (stage.folder / "log").unlink()
    logs = stage.open(LogSettings(), LogSettings(file=str(stage.folder / "stats")))
    for _ in range(20_000):
        logs.note("started", "x" * 60)
    logs.flush()
    lost = logs.shed
    assert lost > 0
    stage.receiver.close()
    stage.receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    stage.receiver.bind(str(stage.folder / "log"))
    stage.receiver.setblocking(False)
    received = []
    while logs.waiting:
        logs.flush()
        received += stage.syslog()
    target = f"syslog {stage.folder}/log"
    assert received[-1].endswith(f"UDPS-731-W Log {target} had trouble: more waits than may; {lost} records lost")
    assert len([line for line in received if "UDPS-731-W" in line]) == 1
    logs.close()


def test_trouble_is_told_once_a_second_at_most(tmp_path: Path) -> None:
    now = [1000.0]
    sink = RollingFile(str(tmp_path / "log"))
    log = Log(Format("DNS", "fw"), sink)
    logs = Logs(log, log, 6, clock=lambda: now[0])
    for second in (1000.0, 1000.5, 1000.9, 1001.0):
        now[0] = second
        sink.trouble.note("a fit", 1)
        logs.flush()
    logs.close()
    assert re.findall(r"a fit; (\d+) records", (tmp_path / "log").read_text()) == ["1", "3"]


def test_each_logs_trouble_is_told_whatever_the_other_has(tmp_path: Path) -> None:
    debug, stats = (RollingFile(str(tmp_path / name)) for name in ("debug", "stats"))
    logs = Logs(Log(Format("DNS", "fw"), debug), Log(Format("DNS", "fw"), stats), 6, clock=lambda: 1000.0)
    debug.trouble.note("a fit", 1)
    stats.trouble.note("a fever", 2)
    logs.flush()
    logs.close()
    assert re.findall(r"trouble: (.*)", (tmp_path / "debug").read_text()) == [
        "a fit; 1 records lost",
        "a fever; 2 records lost",
    ]


def test_the_trouble_of_a_log_that_does_not_work_is_told_once_in_the_other(tmp_path: Path) -> None:
    now = [1000.0]
    debug, stats = RollingFile(str(tmp_path / "debug")), RollingFile("/dev/full")
    logs = Logs(Log(Format("DNS", "fw"), debug), Log(Format("DNS", "fw"), stats), 6, clock=lambda: now[0])
    for _ in range(3):
        now[0] += 1
        logs.note("session-end", *ENDED)
        logs.flush()
        logs.flush()
    logs.close()
    assert re.findall(r"trouble: (.*)", (tmp_path / "debug").read_text()) == ["No space left on device; 0 records lost"]


def test_a_log_with_stop_tells_why_the_proxy_must_end(stage: Stage) -> None:
    logs = stage.open(LogSettings(syslog_failure=SyslogFailure.STOP), LogSettings())
    for _ in range(20_000):
        logs.note("started", "x" * 60)
    assert logs.failure == f"syslog {stage.folder}/log: more waits than may"
    logs.close()


def test_reopening_picks_up_files_that_were_moved_away(stage: Stage) -> None:
    logs = stage.files()
    (stage.folder / "debug").rename(stage.folder / "debug.moved")
    (stage.folder / "stats").rename(stage.folder / "stats.moved")
    logs.reopen()
    end_session(logs)
    assert ids(stage.read("debug")) == ["UDPP-712-N", "UDPP-711-I"]
    assert ids(stage.read("stats")) == ["UDPP-888-I"]
    assert stage.read("debug.moved") == stage.read("stats.moved") == ""
    logs.close()


# --- before the settings -----------------------------------------------------------------------------------------


def test_the_early_log_writes_to_standard_error_at_once(stage: Stage) -> None:
    log = EarlyLog(7, places=stage.places)
    log.note("configured", "a.cfg")
    assert re.search(r" udp-proxy\[\d+\.0\]: CFGR-100-D Configuration a\.cfg read\n$", stage.stderr())
    log.close()


def test_the_early_log_keeps_to_its_level(stage: Stage) -> None:
    log = EarlyLog(6, places=stage.places)
    log.note("configured", "a.cfg")
    log.note("config-error", "a.cfg:1:1: wrong")
    assert ids(stage.stderr()) == ["CFGP-300-E"]
    log.close()


def test_why_a_proxy_does_not_start_goes_to_syslog_where_there_is_one(stage: Stage) -> None:
    log = open_refusal_log("udp-proxy", stage.places)
    assert log is not None
    log.note("config-error", "a.cfg:1:1: wrong")
    log.close()
    (line,) = stage.syslog()
    assert line.startswith("<163>")
    assert "CFGP-300-E a.cfg:1:1: wrong" in line
    assert open_refusal_log("udp-proxy", Places(syslog=str(stage.folder / "nobody"))) is None

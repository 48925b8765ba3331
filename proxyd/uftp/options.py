"""The options of uftpproxyd: one row an option, with what it takes, its bounds and its line of --help.

Single letters are those of uftpproxyd 4.10.2, with values attached or separate; what it does not have has a long name,
which may be shortened as long as it stays unique. Operands are ignored, as there. Nothing is looked up or opened here.
Source: uftpproxyd(8), OPTIONS.
"""

from __future__ import annotations

import getopt
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from proxyd.errors import ProxydError
from workers.contract.settings import Address, MonitorSettings
from workers.contract.uftp import DEFAULT_BUFFER_BYTES, DEFAULT_CLIENTS, DEFAULT_GROUPS, DEFAULT_PORT

USAGE = "usage: uftpproxyd { -s { dest | fp=fingerprint } | -c | -r } [options]; uftpproxyd --help lists them"
DEFAULT_LOG = "/tmp/uftpproxyd.log"
FORMATS = ("text", "json")
HIGHEST_LEVEL = 5
ANY_BASE = 0


class OptionError(ProxydError):
    """The command line, or a list file it names, is wrong: what was found and what was wanted."""


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What a command line says, one field an option; only the values' own form and bounds are checked.

    server: the argument of -s. names are still names. Of roll_mb and target_port None is the default.
    """

    server: str | None = None
    client: bool = False
    response: bool = False
    foreground: bool = False
    machine_keys: bool = False
    port: int = DEFAULT_PORT
    target_port: int | None = None
    ttl: int = 1
    dscp: int = 0
    nice: int = 0
    out_interface: str | None = None
    interfaces: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    uid: int = 0
    heartbeat_hosts: tuple[str, ...] = ()
    heartbeat_s: int = 20
    key_files: tuple[str, ...] = ()
    new_keys: tuple[str, ...] = ()
    curve: str | None = None
    client_list: str | None = None
    server_list: str | None = None
    level: int = 2
    log_file: str = DEFAULT_LOG
    pidfile: str | None = None
    roll_mb: int | None = None
    roll_count: int = 5
    buffer_bytes: int = DEFAULT_BUFFER_BYTES
    workers: int | None = None
    user: str | None = None
    chroot: str | None = None
    single_process: bool = False
    control: str | None = None
    monitor: str | None = None
    max_groups: int = DEFAULT_GROUPS
    max_clients: int = DEFAULT_CLIENTS
    log_format: str = FORMATS[0]
    compat_lists: bool = False
    open_upstream: bool = False
    min_rsa_bits: int = 0
    strong_only: bool = False
    takeover: bool = False
    checks_only: bool = False
    shows_help: bool = False
    shows_version: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its letter or long name, the field it fills, what its value is called ("" for none) and means."""

    name: str
    field: str
    value: str
    parse: Callable[[str], object]
    text: str

    @property
    def flag(self) -> str:
        """The option as it is given."""
        return f"-{self.name}" if len(self.name) == 1 else f"--{self.name}"


def _number(low: int, high: int, base: int = 10) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text, _base(text) if base == ANY_BASE else base)
        except ValueError:
            number = low - 1
        if not low <= number <= high or "_" in text:
            raise OptionError(f"found '{text}'; wanted a number from {low} to {high}")
        return number

    return parse


def _base(text: str) -> int:
    """Return the base of a number as C writes it: 0x before hexadecimal, 0 before octal digits."""
    digits = text.strip().lstrip("+-")
    return 8 if digits.startswith("0") and digits.isdigit() else 0


def _level(text: str) -> int:
    return min(_number(0, 2**31 - 1)(text), HIGHEST_LEVEL)


def _words(text: str) -> tuple[str, ...]:
    """Return the items of a list; empty ones say nothing, as with 4.10.2."""
    return tuple(filter(None, text.split(",")))


def parse_uid(text: str) -> int:
    """Return a station's ID, hexadecimal with or without 0x. Raises OptionError for what is none, 0 and ffffffff."""
    try:
        uid = int(text.strip(), 16)
    except ValueError:
        uid = -1
    if not 0 < uid < 2**32 - 1 or "_" in text:
        raise OptionError(f"found '{text}'; wanted a UID, up to eight hexadecimal digits, neither 0 nor ffffffff")
    return uid


def _own_uid(text: str) -> int:
    return 0 if text.strip("0xX") == "" and text else parse_uid(text)


def _text(text: str) -> str:
    if not text:
        raise OptionError("found nothing; wanted a value")
    return text


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise OptionError(f"found '{text}'; wanted {' or '.join(words)}")
        return text

    return parse


def _yes(_text: str) -> bool:
    return True


_PORT = _number(1, 65535)


def parse_monitor(text: str) -> MonitorSettings:
    """Return where the monitor serves: an address and a port, or a Unix socket by its path. Raises OptionError."""
    if text.startswith("/"):
        return MonitorSettings(path=text)
    host, _, port = text.rpartition(":")
    try:
        found = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise OptionError(f"found '{text}'; wanted ADDRESS:PORT, [ADDRESS]:PORT or /FILE") from None
    return MonitorSettings((Address(found.version, int(found)), _PORT(port)))


def _monitor(text: str) -> str:
    parse_monitor(text)
    return text


OPTIONS = (
    Option("s", "server", "dest | fp=fingerprint", _text, "server proxy to this host, or to whom a heartbeat proves"),
    Option("c", "client", "", _yes, "client proxy"),
    Option("r", "response", "", _yes, "response proxy"),
    Option("d", "foreground", "", _yes, "stay in the foreground, log to standard error"),
    Option("p", "port", "port", _PORT, "listen on this port (1044)"),
    Option("q", "target_port", "port", _PORT, "port of the downstream proxy, or of the clients (1044)"),
    Option("t", "ttl", "ttl", _number(1, 255), "time to live of multicast datagrams (1)"),
    Option("Q", "dscp", "dscp", _number(0, 63, ANY_BASE), "DSCP of all datagrams (0)"),
    Option("N", "nice", "priority", _number(-20, 19), "nice increment (0)"),
    Option("O", "out_interface", "interface", _text, "interface to multicast from"),
    Option("I", "interfaces", "interface[,...]", _words, "interfaces to listen on (all that are up)"),
    Option("M", "groups", "address[,...]", _words, "public multicast addresses (230.4.4.1)"),
    Option("U", "uid", "uid", _own_uid, "this proxy's ID (from its first address)"),
    Option("H", "heartbeat_hosts", "host[:port][,...]", _words, "send heartbeats to these"),
    Option("h", "heartbeat_s", "seconds", _number(1, 3600), "time between heartbeats (20)"),
    Option("k", "key_files", "file[,...]", _words, "files of private keys"),
    Option("K", "new_keys", "rsa:bits|ec:curve[,...]", _words, "keys to make"),
    Option("e", "curve", "curve", _text, "ECDH curve of a response proxy"),
    Option("m", "machine_keys", "", _yes, "no effect"),
    Option("C", "client_list", "file", _text, "clients to let in"),
    Option("S", "server_list", "file", _text, "servers to let in, or to join for"),
    Option("x", "level", "level", _level, "log level, 0 to 5 (2)"),
    Option("L", "log_file", "file", _text, f"log file ({DEFAULT_LOG})"),
    Option("P", "pidfile", "file", _text, "file to write the process id to"),
    Option("g", "roll_mb", "MB", _number(1, 1024), "roll the log file at this size"),
    Option("n", "roll_count", "count", _number(1, 1000), "rolled log files to keep (5)"),
    Option("B", "buffer_bytes", "bytes", _number(65536, 104857600), "socket buffers (1048576)"),
    Option("workers", "workers", "count", _number(1, 256), "worker processes (one a processor)"),
    Option("user", "user", "user[:group]", _text, "whom the workers become (nobody)"),
    Option("chroot", "chroot", "directory", _text, "the workers' root"),
    Option("singleproc", "single_process", "", _yes, "one process that does everything"),
    Option("control", "control", "file", _text, "socket to take orders on (proxyctl)"),
    Option("monitor", "monitor", "address:port|file", _monitor, "serve a page and metrics over HTTP (no)"),
    Option("max-groups", "max_groups", "count", _number(1, 100_000), "transfers at once (10000)"),
    Option("max-clients", "max_clients", "count", _number(1, 100_000), "clients of one transfer (10000)"),
    Option("log-format", "log_format", "text|json", _one_of(FORMATS), "form of the log"),
    Option("compat-lists", "compat_lists", "", _yes, "read -S and -C as uftpproxyd 4.10.2 does"),
    Option("open-upstream", "open_upstream", "", _yes, "server proxy: pass on to servers what anybody sends"),
    Option("min-rsa-bits", "min_rsa_bits", "bits", _number(0, 4096), "refuse shorter RSA keys (0)"),
    Option("strong-crypto-only", "strong_only", "", _yes, "refuse DES, 3DES, SHA-1 and RSA under 2048 bits"),
    Option("takeover", "takeover", "", _yes, "go on with the transfers of the proxy at --control, which ends"),
    Option("check", "checks_only", "", _yes, "check options, lists and keys, and open nothing"),
    Option("version", "shows_version", "", _yes, "print the version"),
    Option("help", "shows_help", "", _yes, "print this text"),
)
_LETTERS = "".join(option.name + ":" * bool(option.value) for option in OPTIONS if len(option.name) == 1)
_LONG = [option.name + "=" * bool(option.value) for option in OPTIONS if len(option.name) > 1]
_MODES = ("-s", "-c", "-r")
_BY_FLAG = {option.flag: option for option in OPTIONS}
_RESPONSE_CURVE = "-r:"
"""How the manual page of 4.10.2 has -r and -e in one."""


def parse_options(argv: Sequence[str]) -> CommandLine:
    """Parse the arguments behind the program's name. Raises OptionError naming the option."""
    try:
        found, _operands = getopt.gnu_getopt(_spell_out(argv), _LETTERS, _LONG)
    except getopt.GetoptError as error:
        raise OptionError(str(error)) from error
    values: dict[str, Any] = {}
    for flag, text in found:
        option = _BY_FLAG[flag]
        try:
            value = option.parse(text)
        except OptionError as error:
            raise OptionError(f"{flag}: {error}") from error
        # A list goes on where it is given again. Source: 4.10.2, observed.
        values[option.field] = values.get(option.field, ()) + value if isinstance(value, tuple) else value
    line = CommandLine(**values)
    if not (line.shows_help or line.shows_version):
        _check([flag for flag, _ in found if flag in _MODES], line)
    return line


def _spell_out(argv: Sequence[str]) -> list[str]:
    words: list[str] = []
    for word in argv:
        curve = word.removeprefix(_RESPONSE_CURVE)
        words += [word] if curve == word else ["-r", "-e", curve]
    return words


def _check(modes: Sequence[str], line: CommandLine) -> None:
    if len(modes) != 1:
        raise OptionError(f"found {' and '.join(modes) or 'none'} of -s, -c and -r; wanted one of them")
    if line.new_keys and line.key_files and len(line.new_keys) != len(line.key_files):
        raise OptionError("-k and -K name different numbers of keys; wanted a file for each new key")


def help_text() -> str:
    """Return what --help prints."""
    rows = [(f"{option.flag} {option.value}".rstrip(), option.text) for option in OPTIONS]
    width = max(len(head) for head, _ in rows)
    return USAGE.partition(";")[0] + "\n" + "".join(f"  {head:{width}}  {text}\n" for head, text in rows)

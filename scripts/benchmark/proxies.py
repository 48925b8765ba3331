"""The proxies under test: how each is configured, started on its core, found and stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from .errors import CannotMeasure
from .isolation import set_session_priority
from .meter import family_of
from .peers import Echo, wait_for_answer

_START_SECONDS = 20.0
_STOP_SECONDS = 10.0
_NGINX_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"

_NGINX_CONFIGURATION = """\
load_module {module};
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log crit;
worker_processes {workers};
worker_rlimit_nofile 65536;
events {{ worker_connections 20000; use epoll; multi_accept {multi_accept}; }}
stream {{
  access_log off;
  server {{
    listen 127.0.0.1:{port} udp rcvbuf=4m{listen_options};
    proxy_pass 127.0.0.1:{upstream};
    proxy_timeout 60s;
    {one_answer}
  }}
}}
"""

_UDP_PROXY_CONFIGURATION = """\
version KERNUN-2_3-RELEASE;

udp-proxy BENCH {{
  nodaemon;
  log-debug {{ level error; file "{directory}/debug.log"; }}
  log-stats {{ file "{directory}/stats.log"; }}
  listen-on {{ non-transparent [127.0.0.1] port {port}; }}
  udpserver {{ max-sessions 20000; workers {workers}; }}
  {offload}
  session-acl ALL {{
    from {{ [127.0.0.0/8] }};
    accept;
    plug-to [127.0.0.1] : {upstream};
    {one_answer}
    timeout both 60;
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a proxy is to do.

    one_answer: every session is one datagram out and one in, and then over."""

    one_answer: bool = False
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a proxy listens and sends, on 127.0.0.1, and the directory it may write to."""

    port: int
    upstream: int
    directory: Path


@dataclass(frozen=True, slots=True)
class Product:
    """A proxy that can be started: its name in the report, its configuration and its command line."""

    name: str
    configure: Callable[[Scene, Place], str]
    command: tuple[str, ...]  # the configuration's path is added to it
    note: str


def nginx(executable: str, *, multi_accept: bool) -> Product:
    """Return nginx with its stream module; multi_accept: take all waiting datagrams at one wake-up, not one."""
    accept = "on" if multi_accept else "off"

    def configure(scene: Scene, place: Place) -> str:
        return _NGINX_CONFIGURATION.format(
            module=_NGINX_MODULE,
            multi_accept=accept,
            workers=scene.workers,
            listen_options=" reuseport" if scene.workers > 1 else "",
            one_answer="proxy_responses 1;" if scene.one_answer else "",
            **asdict(place),
        )

    note = f"nginx: access_log off, multi_accept {accept}, rcvbuf=4m; proxy_responses 1 for the set-ups, else unset"
    return Product("nginx", configure, (executable, "-c"), note)


def udp_proxy(name: str, executable: str, *, offload: bool = False) -> Product:
    """Return a udp-proxy, under the name it shall have in the report. offload: the kernel carries busy sessions."""

    def configure(scene: Scene, place: Place) -> str:
        return _UDP_PROXY_CONFIGURATION.format(
            workers=scene.workers,
            one_answer="max-dgrams-out 1; max-dgrams-in 1;" if scene.one_answer else "",
            offload="offload on;" if offload else "",
            **asdict(place),
        )

    note = f"{name}: logs every session's record to a file, always; {executable}"
    return Product(name, configure, (executable, "-f"), note + ("; offload on" if offload else ""))


def find_udp_proxy(place: Path) -> str:
    """Return the udp-proxy that place is, or that is in its .venv. Raises CannotMeasure when there is none."""
    for candidate in (place, place / ".venv/bin/udp-proxy", place / "bin/udp-proxy"):
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate.absolute())
    raise CannotMeasure(f"no udp-proxy at {place}")


def find_nginx() -> str:
    """Return nginx's executable. Raises CannotMeasure when it or its stream module is not installed."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None or not Path(_NGINX_MODULE).exists():
        raise CannotMeasure("nginx with its stream module is not installed (Debian: nginx libnginx-mod-stream)")
    return found


class Running:
    """A proxy at work, from with to the end of its block: started, pinned, answering; then stopped."""

    def __init__(self, product: Product, scene: Scene, cpu: int, echo: Echo) -> None:
        self._product = product
        self._scene = scene
        self._cpu = cpu
        self._echo = echo
        self._directory = tempfile.TemporaryDirectory(prefix="bench-")
        self._process: subprocess.Popen[bytes] | None = None
        self.target = ("127.0.0.1", _free_port())

    def __enter__(self) -> Running:
        directory = Path(self._directory.name)
        directory.chmod(0o755)
        place = Place(self.target[1], self._echo.port, directory)
        configuration = directory / "proxy.cfg"
        configuration.write_text(self._product.configure(self._scene, place))
        command = ["taskset", "-c", str(self._cpu), *self._product.command, str(configuration)]
        with (directory / "output").open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        if nice := os.getpriority(os.PRIO_PROCESS, 0):
            set_session_priority(self._process.pid, nice)
        if not self._wait_until_up():
            said = (directory / "output").read_text(errors="replace")[-2000:]
            self._stop()
            raise CannotMeasure(f"{self._product.name} does not answer; it said: {said.strip() or 'nothing'}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _wait_until_up(self) -> bool:
        """Wait for an answer through the proxy, as long as there is a proxy."""
        give_up = time.monotonic() + _START_SECONDS
        while self._process is not None and self._process.poll() is None and time.monotonic() < give_up:
            if wait_for_answer(self._echo, self.target, 0.2):
                return True
        return False

    def pids(self) -> list[int]:
        """Return all the proxy's processes."""
        return [] if self._process is None else family_of(self._process.pid)

    def _stop(self) -> None:
        """End the proxy and all it has started, gently first."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(ProcessLookupError):  # what a parent that crashed has left behind
            os.killpg(self._process.pid, signal.SIGKILL)
        self._directory.cleanup()


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port

"""The demonstration behind scripts/run: a DNS server on loopback and udp-proxy before it, until Ctrl-C."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFIGURATION = ROOT / "etc" / "demo.cfg"
PROXY = ("127.0.0.1", 5300)
UPSTREAM = ("127.0.0.1", 5354)
"""As in etc/demo.cfg."""

STARTED = "UDPS-700-K"
STOP_S = 15
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

QUESTION = (
    "import dns.message as m, dns.query as q; "
    f'print(q.udp(m.make_query("hello.example", "TXT"), "{PROXY[0]}", port={PROXY[1]}, timeout=5))'
)
PROXYCTL = Path(sys.executable).with_name("proxyctl")


def hint(control: Path) -> str:
    """Return what there is to type. control: the proxy's control socket."""
    return f"""
  udp-proxy takes datagrams on {PROXY[0]} port {PROXY[1]} for a small DNS server on port {UPSTREAM[1]}.
  Type this in another terminal, and see the answer there and the session here:

    dig @{PROXY[0]} -p {PROXY[1]} hello.example TXT

  or, where there is no dig:

    {shlex.quote(sys.executable)} -c '{QUESTION}'

  How the proxy is, and what else it can be asked (--help):

    {shlex.quote(str(PROXYCTL))} -s {shlex.quote(str(control))} status

  Ctrl-C ends everything.
"""


def start(argv: list[str], **pipes: int) -> subprocess.Popen[str]:
    """Start a program that the terminal's Ctrl-C does not reach: we end it ourselves, in order."""
    return subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, text=True, process_group=0, **pipes)


def start_upstream() -> subprocess.Popen[str] | None:
    """Start the DNS server; None when it could not, having said why."""
    host, port = UPSTREAM
    upstream = start(
        [sys.executable, str(ROOT / "scripts" / "demo_upstream.py"), host, str(port)], stdout=subprocess.PIPE
    )
    if upstream.stdout is not None and upstream.stdout.readline() == "ready\n":
        return upstream
    upstream.wait()
    return None


def show(proxy: subprocess.Popen[str], text: str) -> None:
    """Copy the proxy's log to ours until it ends; when it says that it started, say this."""
    for line in proxy.stderr or ():
        sys.stderr.write(line)
        sys.stderr.flush()
        if STARTED in line:
            print(text, flush=True)


def stop(process: subprocess.Popen[str]) -> int:
    """Ask a process to end, insist if it does not; return its exit status."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def run_proxy(folder: Path) -> int:
    """Run the proxy until it ends or we are told to; return our exit status. folder: for its pidfile and socket."""
    command = [sys.executable, "-m", "proxyd.cli.udp_proxy", "-P", str(folder / "demo.pid"), "-f", str(CONFIGURATION)]
    text = hint(folder / "demo.ctl")
    proxy = start(command, stderr=subprocess.PIPE)
    try:
        show(proxy, text)
    except KeyboardInterrupt:
        proxy.terminate()
        show(proxy, text)
        return stop(proxy)
    status = proxy.wait()
    print(f"scripts/run: udp-proxy ended with status {status}; its last lines say why", file=sys.stderr)
    return status or 1


def main() -> int:
    """Start both, wait, end both."""
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.default_int_handler)
    upstream = None
    try:
        upstream = start_upstream()
        if upstream is None:
            print("scripts/run: the port is needed; does another scripts/run hold it?", file=sys.stderr)
            return 1
        with tempfile.TemporaryDirectory(prefix="proxyd-demo-") as folder:
            return run_proxy(Path(folder))
    except KeyboardInterrupt:
        return 0
    finally:
        if upstream is not None:
            stop(upstream)


if __name__ == "__main__":
    sys.exit(main())

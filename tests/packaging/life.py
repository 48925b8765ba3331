"""What is tried of an installation, however it came to be: a proxy is configured and started, and carries datagrams."""

from __future__ import annotations

from tests.kit.machine import Machine

CONFIGURATION = """version KERNUN-2_3-RELEASE;
udp-proxy ECHO {
  app-user proxyd;
  listen-on { non-transparent [127.0.0.1] port 7000; }
  udpserver { max-sessions 10; workers 1; }
  log-debug { file "/var/log/udp-proxy/echo.log"; }
  log-stats { file "/var/log/udp-proxy/echo.log"; }
  session-acl ALL { from { [127.0.0.0/8] }; accept; plug-to [127.0.0.1] : 7001; }
}
"""
_ECHO = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("127.0.0.1", 7001))
    print("echoes", flush=True)
    while True:
        text, source = server.recvfrom(100)
        server.sendto(text.upper(), source)
"""
_ASK = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(20)
    client.connect(("127.0.0.1", 7000))
    client.send(b"through")
    print(client.recv(100).decode())
"""


def configure(machine: Machine) -> None:
    """Configure one instance, and start the server behind it."""
    machine.write("/etc/udp-proxy/echo.cfg", CONFIGURATION)
    machine.popen(["/usr/bin/python3", "-c", _ECHO]).wait_for("echoes")


def passes_datagrams(machine: Machine) -> bool:
    """Tell whether a datagram reaches the server through the proxy, and its answer the client; else print the log."""
    done = machine.run(["/usr/bin/python3", "-c", _ASK], check=False)
    if done.stdout != "THROUGH\n":
        print(done.stderr, machine.read("/var/log/udp-proxy/echo.log"))
    return done.stdout == "THROUGH\n"


def status(machine: Machine, script: str, action: str) -> int:
    """Call an init script; return its exit status."""
    return machine.run([f"/etc/init.d/{script}", action], check=False).returncode

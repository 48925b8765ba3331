"""A configuration's checked tree to frozen Settings, with everything there is to say about it.

Source: udp-proxy.cfg(5).
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from proxyd.config.aclchecks import check_acls
from proxyd.config.acls import compile_acl, source_address
from proxyd.config.defaults import section_or_default, setting
from proxyd.config.filechecks import check_file, check_proxy
from proxyd.config.findings import Findings
from proxyd.config.listeners import ListenerCompiler
from proxyd.config.machine import is_own
from proxyd.config.sourcechecks import check_own_addresses, check_sources
from proxyd.config.tree import Section
from proxyd.config.values.numbers import NS_PER_S
from proxyd.errors import ConfigError, ConfigErrors
from workers.contract.settings import (
    AuthSettings,
    ControlSettings,
    ListenerSettings,
    LogSettings,
    MonitorSettings,
    QueueSettings,
    ResolverSettings,
    Settings,
)
from workers.policy.acl import compile_rules

MAX_WORKERS = 255
DNS_PORT = 53


@dataclass(frozen=True, slots=True)
class Compiled:
    """A valid configuration.

    warnings: what may not mean what was meant. names: the host names that have to be resolved. tree: what was written,
    for listings.
    """

    settings: Settings
    warnings: tuple[ConfigError, ...]
    names: tuple[str, ...]
    tree: Section

    @property
    def proxy(self) -> Section:
        """The one udp-proxy section."""
        return next(self.tree.sections_of("udp-proxy"))


def compile_tree(tree: Section, errors: list[ConfigError], automatic: tuple[int, int] | None) -> Compiled:
    """Check what sections mean to one another, and compile.

    errors: what the checker found already. automatic: the system's automatic ports, where known.
    Raises ConfigErrors with all mistakes, in the order of the file.
    """
    findings = Findings(errors=list(errors))
    proxies = list(tree.sections_of("udp-proxy"))
    check_file(tree, proxies, findings)
    listeners: tuple[ListenerSettings, ...] = ()
    for proxy in proxies[:1]:
        listen = proxy.section("listen-on")
        if listen is not None:
            listeners = ListenerCompiler(tree, automatic, findings).compile(listen)
        check_proxy(tree, proxy, findings)
        check_acls(tree, proxy, listeners, findings)
        check_sources(proxy, listeners, findings)
    if findings.errors:
        raise ConfigErrors(sorted(findings.errors, key=lambda error: error.position))
    check_own_addresses(proxies[0], is_own, findings)
    settings = _settings(tree, proxies[0], listeners)
    return Compiled(
        settings,
        tuple(sorted(findings.warnings, key=lambda warning: warning.position)),
        tuple(sorted(compile_rules(settings.acls).names)),
        tree,
    )


def _settings(tree: Section, proxy: Section, listeners: tuple[ListenerSettings, ...]) -> Settings:
    server = section_or_default(proxy, "udpserver")
    return Settings(
        name=proxy.name or "udp-proxy",
        listeners=listeners,
        max_sessions=setting(server, "max-sessions"),
        workers=setting(server, "workers") or usable_processors(),
        acls=tuple(map(compile_acl, proxy.sections_of("session-acl"))),
        respawn_count=setting(server, "respawn-limit", "count"),
        respawn_ns=setting(server, "respawn-limit", "seconds") * NS_PER_S,
        single_process=proxy.has("singleproc"),
        foreground=proxy.has("nodaemon"),
        fast_path=setting(proxy, "fast-path"),
        offload=setting(proxy, "offload"),
        app_user=setting(proxy, "app-user", "user"),
        app_group=setting(proxy, "app-user", "group"),
        chroot_dir=setting(proxy, "chroot-dir"),
        debug_log=_log(section_or_default(proxy, "log-debug")),
        stats_log=_log(section_or_default(proxy, "log-stats")),
        source_address=source_address(proxy.item("source-address")),
        auth=_auth(tree, proxy),
        queues=tuple(map(_queue, tree.sections_of("queue"))),
        resolver=_resolver(tree, setting(proxy, "use-resolver")),
        resolve_names=setting(proxy, "cfg-resolution"),
        monitor=_monitor(proxy.section("monitoring")),
        control=_control(section_or_default(proxy, "control")),
    )


def usable_processors() -> int:
    """Return how many processors this process may run on, at most as many as there may be workers."""
    return min(len(os.sched_getaffinity(0)), MAX_WORKERS)


def _log(section: Section) -> LogSettings:
    return LogSettings(
        level=setting(section, "level"),
        facility=setting(section, "facility"),
        file=setting(section, "file"),
        rotate_bytes=setting(section, "rotate", "size"),
        rotate_count=setting(section, "rotate", "count") or 0,
        json=setting(section, "format"),
        syslog_failure=setting(section, "syslog-failure"),
        data_limit_bytes=setting(section, "data-limit"),
    )


def _auth(tree: Section, proxy: Section) -> AuthSettings | None:
    item = proxy.item("auth")
    if item is None or "oob" not in item:
        return None
    section = next(section for section in tree.sections_of("oob-auth") if section.name == item.get("name"))
    return AuthSettings(
        name=section.name or "",
        file=setting(section, "file"),
        obligation=item.get("obligation"),
        short_names=setting(proxy, "user-match"),
        max_sessions=setting(section, "max-sessions"),
        max_user_chars=setting(section, "max-user"),
        max_groups=setting(section, "max-groups"),
    )


def _queue(section: Section) -> QueueSettings:
    return QueueSettings(
        section.name or "",
        setting(section, "mark"),
        setting(section, "priority"),
        setting(section, "rate", "bits"),
        setting(section, "rate", "burst"),
    )


def _resolver(tree: Section, name: str | None) -> ResolverSettings:
    section = next((found for found in tree.sections_of("resolver") if found.name == name), None)
    if name is None or section is None:
        return ResolverSettings()
    socks = [item.get("server") for item in section.all("server")]
    return ResolverSettings(
        tuple((sock.host, sock.port or DNS_PORT) for sock in socks),
        setting(section, "search"),
        setting(section, "conf-timeout"),
        setting(section, "initial-timeout"),
    )


def _control(section: Section) -> ControlSettings | None:
    if section.has("disabled"):
        return None
    return ControlSettings(setting(section, "socket"), setting(section, "group"))


def _monitor(section: Section | None) -> MonitorSettings | None:
    if section is None or section.has("disabled"):
        return None
    http = section.item("http")
    listen = (http.get("address"), http.get("port")) if http is not None and "port" in http else None
    path = http.get("socket") if http is not None and "socket" in http else None
    return MonitorSettings(listen, setting(section, "comm-dir"), setting(section, "interval"), path)

"""Rows of the udp-proxy section and the sections in it, session-acl apart. Source: udp-proxy.cfg(5), UDP-PROXY."""

from __future__ import annotations

from proxyd.config.prototype import Keyword, Naming, Part, Parts, Reload, Scope, key, named, value
from proxyd.config.values import hosts, numbers, words
from workers.contract.settings import Obligation, SyslogFailure

LEVEL = words.enumeration(
    "dbglev",
    {"error": 3, "warning": 4, "normal": 6, "debug": 7, "trace": 8, "full": 9},
    {number: number for number in range(3, 10)},
)
FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("ntp", "audit", "alert", "clock"),
    *(f"local{number}" for number in range(8)),
)
FACILITY = words.enumeration(
    "facility",
    {text: number for number, text in enumerate(FACILITIES)},
    {number: number for number in range(len(FACILITIES))},
)
YES_NO = words.enumeration("yes-no", {"no": False, "yes": True})
ON_OFF = words.enumeration("on-off", {"off": False, "on": True}, {0: False, 1: True})
FORMAT = words.enumeration("log-format", {"text": False, "json": True})
IP_VERSION = words.enumeration("ip-version", {"ipv4": 4, "ipv6": 6})
PROTOCOL = words.enumeration("osi4-proto", {"tcp": "tcp", "udp": "udp"}, {6: "tcp", 17: "udp"})
OBLIGATION = words.enumeration("obligation", {member.value: member for member in Obligation})
LOGFAIL = words.enumeration("logfail-mode", {member.value: member for member in SyslogFailure})
USER_MATCH = words.enumeration("user-match-mode", {"short": True, "long": False})

_ADDRESSES = (key("client"), named("addr4", hosts.ADDRESS4), named("addr6", hosts.ADDRESS6))
SOURCE_ADDRESS_FORMS: tuple[Parts, ...] = (
    (*_ADDRESSES, key("cluster", optional=False), value("cluster-name", words.WORD, optional=True)),
    (*_ADDRESSES, key("no-fallback", optional=False)),
    (*_ADDRESSES, key("physical", optional=False)),
    (*_ADDRESSES, key("default")),
)

PROXY = (
    Keyword(
        "phase",
        "The order in which applications are started; lower is earlier. It has no effect on a single program.",
        ((value("number", numbers.UINT8, "20"),),),
        absent="20",
    ),
    Keyword(
        "tag",
        "A label for administration: letters, digits, hyphens, dots.",
        ((value("value", words.TAG),),),
        repeatable=True,
    ),
    Keyword(
        "log-debug",
        "The log of operation, to the facility local4 unless it says otherwise.",
        body=Scope.LOG,
        implied=True,
    ),
    Keyword(
        "log-stats",
        "The log of statistics, a record a session, to the facility local5 unless it says otherwise.",
        body=Scope.LOG,
        implied=True,
    ),
    Keyword(
        "use-resolver",
        "The resolver section to use.",
        ((value("name", words.name_of("resolver")),),),
        absent_note="the system's name servers",
    ),
    Keyword(
        "cfg-resolution",
        "Whether the host names of the configuration are resolved at the start and again when they expire."
        " With no, a name matches only a peer known by that name.",
        ((value("value", YES_NO, "yes"),),),
        absent="yes",
    ),
    Keyword("monitoring", "Data on the running proxy for other programs.", body=Scope.MONITORING),
    Keyword(
        "control",
        "Who may give orders to the running proxy, and where.",
        body=Scope.CONTROL,
        extension=True,
        reload=Reload.LATER,
    ),
    *(
        Keyword(
            f"stats-{period}", "Taken and ignored: summaries are made from the log.", opaque=True, body=Scope.IGNORED
        )
        for period in ("daily", "weekly", "monthly")
    ),
    Keyword(
        "nodaemon",
        "Stay in the foreground; without a log file or facility, records go to standard error.",
        reload=Reload.LATER,
    ),
    Keyword("singleproc", "Do everything in one process, for debugging.", reload=Reload.REFUSED),
    Keyword(
        "app-user",
        "The user, and the group where it is not the user's own, under which the children run.",
        ((value("user", words.NONEMPTY), named("group", words.NONEMPTY)),),
        absent_note="the user who starts the proxy",
        reload=Reload.REFUSED,
    ),
    Keyword(
        "chroot-dir",
        "The directory that becomes the children's root.",
        ((value("dir", words.PATH),),),
        absent_note="the root directory is not changed",
        reload=Reload.REFUSED,
    ),
    Keyword(
        "run-block-sigalrm",
        "Taken and ignored.",
        ((value("seconds", numbers.UINT16, optional=True),),),
    ),
    Keyword(
        "fast-path",
        "Whether datagrams are moved many in a system call. Turn it off to find out whether it is to blame.",
        ((value("value", ON_OFF),),),
        absent="on",
        extension=True,
    ),
    Keyword(
        "offload",
        "Whether busy sessions are carried by the kernel, several times as fast: a BPF program on the interfaces"
        " readdresses their datagrams as they come in, which then meet neither netfilter nor IPsec policies of this"
        " machine. Which sessions that may be is in udp-proxy(8).",
        ((value("value", ON_OFF),),),
        absent="off",
        extension=True,
        reload=Reload.LATER,
    ),
    Keyword(
        "listen-on",
        "The sockets on which clients are served; at least one item is obligatory.",
        body=Scope.LISTEN,
        obligatory=True,
    ),
    Keyword("udpserver", "How much the proxy serves, and with how many workers.", body=Scope.SERVER, obligatory=True),
    Keyword(
        "source-address",
        "The source address of datagrams to servers: the client's own, else the one given for the IP version, else"
        " what the last word says: no-fallback rejects the session, the others let the system choose (cluster counts"
        " as physical). A session-acl may say otherwise for its sessions.",
        SOURCE_ADDRESS_FORMS,
        absent_note="the system chooses",
    ),
    Keyword("doctype-identification", "Taken and ignored: it has no meaning for UDP.", opaque=True, body=Scope.IGNORED),
    Keyword(
        "auth",
        "How users are authenticated: not at all, or out of band by the named section. With mandatory, a client"
        " without an entry is rejected before the session-acl sections are searched.",
        (
            (key("none", optional=False),),
            (
                key("oob", optional=False),
                value("name", words.name_of("oob-auth")),
                value("obligation", OBLIGATION, "optional"),
            ),
        ),
        absent="none",
    ),
    Keyword(
        "user-match",
        "Whether user names are compared without their domain (short) or as a whole (long).",
        ((value("mode", USER_MATCH, "long"),),),
        absent="long",
    ),
    Keyword(
        "session-acl",
        "A rule for new sessions. The sections are tried in the order of the file; the first one whose conditions"
        " all hold decides. When none does, the session is rejected.",
        body=Scope.ACL,
        naming=Naming.ALWAYS,
        repeatable=True,
    ),
)

LOG = (
    Keyword(
        "level",
        "Which records are written; statistical and noticeable ones always are.",
        ((value("value", LEVEL, "normal"),),),
        absent="normal",
    ),
    Keyword("mem-level", "Taken and ignored.", ((value("value", LEVEL, "normal"),),)),
    Keyword(
        "facility",
        "The syslog facility; excludes file.",
        ((value("facility", FACILITY),),),
        absent_note="local4 for log-debug, local5 for log-stats",
    ),
    Keyword("file", "Write to this file instead of syslog.", ((value("path", words.PATH),),)),
    Keyword(
        "rotate",
        "Begin a new file when this one has size bytes, and keep count old ones. Needs file.",
        (
            (
                named("size", numbers.POSITIVE_BYTES, optional=False),
                named("count", numbers.POSITIVE16, optional=False),
            ),
        ),
        absent_note="the file grows",
    ),
    Keyword("mem-file", "Taken and ignored.", ((value("path", words.PATH),),)),
    Keyword(
        "syslog-failure",
        "What to do with a record that syslog does not take.",
        ((value("mode", LOGFAIL, "ignore"),),),
        absent="ignore",
    ),
    Keyword(
        "data-limit",
        "How many bytes of a datagram are shown at level 9; 0 is no limit.",
        ((value("bytes", numbers.BYTES32, "0"),),),
        absent="0",
    ),
    Keyword("dump-hold-time", "Taken and ignored.", opaque=True),
    Keyword(
        "format",
        "Lines of text, or a JSON object a line.",
        ((value("format", FORMAT),),),
        absent="text",
        extension=True,
    ),
)

MONITORING = (
    Keyword("disabled", "Turn monitoring off."),
    Keyword(
        "comm-dir",
        "The directory of the communication files.",
        ((value("path", words.PATH, '"/tmp"'),),),
        absent='"/tmp"',
    ),
    Keyword(
        "interval",
        "Seconds between two writings.",
        ((value("seconds", numbers.UINT16, "5"),),),
        absent="5",
    ),
    Keyword("user", "Characters shown of a user.", ((value("chars", numbers.UINT16, "8"),),), absent="8"),
    Keyword(
        "aproxy-user",
        "Characters shown of a proxy user.",
        ((value("chars", numbers.UINT16, "8"),),),
        absent="8",
    ),
    Keyword(
        "data",
        "Characters shown of session data, tail of them from its end; chars is greater than tail and 3.",
        ((value("chars", numbers.UINT16, "180"), named("tail", numbers.UINT16, default="60")),),
        absent="180 tail 60",
    ),
    Keyword(
        "http",
        "Serve a page, metrics, health and the state over HTTP, on this address and port or on a Unix socket:"
        " /, /metrics, /livez, /readyz, /api/v1/. Everybody who reaches the port may read them; of the socket, its"
        " owner, and the group of the section control.",
        (
            (value("address", hosts.ADDRESS), named("port", numbers.LISTEN_PORT, optional=False)),
            (named("socket", words.PATH, optional=False),),
        ),
        extension=True,
    ),
)

_RANGE = (named("port", numbers.LISTEN_PORT, optional=False), named("to", numbers.LISTEN_PORT))
_LISTEN_FORMS: tuple[Parts, ...] = (
    (
        key("address", silent=True),
        value("addr", hosts.HOST),
        named("version", IP_VERSION),
        *_RANGE,
        named("proto", PROTOCOL),
    ),
    (
        named("iface", words.name_of("interface"), optional=False),
        named("alias", words.STRING_SET, default="{ }"),
        named("version", IP_VERSION),
        *_RANGE,
        named("proto", PROTOCOL),
    ),
)
_LISTEN_OLD_FORMS: tuple[Parts, ...] = (
    (key("address", silent=True), value("sock", hosts.STRICT_SOCK), value("ports", numbers.LISTEN_PORT, optional=True)),
    (
        named("iface", words.name_of("interface"), optional=False),
        Part("proto", IP_VERSION, named=True, optional=True),
        named("alias", words.STRING_SET, default="{ }"),
        value("port", numbers.LISTEN_PORT),
        value("ports", numbers.LISTEN_PORT, optional=True),
    ),
)

CONTROL = (
    Keyword("disabled", "Take no orders.", extension=True),
    Keyword(
        "socket",
        "The socket that proxyctl connects to; its directory has to be there.",
        ((value("path", words.PATH),),),
        absent_note="the pidfile's path, with .ctl for .pid",
        extension=True,
    ),
    Keyword(
        "group",
        "The group whose members may give orders beside root and whoever started the proxy.",
        ((value("group", words.NONEMPTY),),),
        absent_note="nobody else may",
        extension=True,
    ),
)

LISTEN = (
    Keyword(
        "non-transparent",
        "Take datagrams addressed to the proxy itself, on an address or on the addresses of an interface section"
        " (of the aliases named, if any); port is the lowest port of a range that ends with to."
        " [0.0.0.0] and [::] stand for every address. A host name stands for its addresses in /etc/hosts:"
        " no name server is asked before the proxy serves.",
        _LISTEN_FORMS,
        repeatable=True,
        hidden_forms=_LISTEN_OLD_FORMS,
    ),
    Keyword(
        "transparent",
        "Take datagrams addressed to other hosts, and those to the proxy itself that come in by the same interface."
        " The address only tells the interface; [0.0.0.0] and [::] stand for every interface."
        " This machine must be made to take such datagrams: see udp-proxy-transparent(7).",
        _LISTEN_FORMS,
        repeatable=True,
        hidden_forms=_LISTEN_OLD_FORMS,
    ),
)

SERVER = (
    Keyword(
        "max-sessions",
        "How many sessions there may be at once, over all workers. Numbers above 65535 are an extension.",
        ((value("number", numbers.POSITIVE32),),),
        obligatory=True,
    ),
    Keyword(
        "workers",
        "How many worker processes share the work. Sessions go on when a reload changes it, with whichever worker gets"
        " their datagrams then. Where that cannot be known, it counts from the next start on, and the reload says why.",
        ((value("number", numbers.POSITIVE8),),),
        absent_note="as many as there are usable processors",
        extension=True,
    ),
    Keyword(
        "respawn-limit",
        "More child processes than count ended within these seconds, and the proxy ends itself.",
        ((value("count", numbers.POSITIVE16), value("seconds", numbers.POSITIVE16)),),
        absent="30 60",
        extension=True,
    ),
)

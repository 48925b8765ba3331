"""Rows of the file level and of the sections that udp-proxy refers to. Source: udp-proxy.cfg(5)."""

from __future__ import annotations

from proxyd.config.prototype import Keyword, Naming, Scope, named, value
from proxyd.config.values import hosts, numbers, words

OOB_METHOD = words.enumeration(
    "oob-authentication-method", {"html-form": "html-form", "external": "external", "ext-mod": "ext-mod"}
)

FILE = (
    Keyword(
        "version",
        "The version of the language that the file is written in, as test-udp -v prints it; first in the file."
        " Without it, or with a tag that does not begin with KERNUN-, there is a warning.",
        ((value("tag", words.WORD),),),
    ),
    Keyword(
        "udp-proxy",
        "A proxy. There is exactly one in a file; its name identifies it in the logs, and a reload cannot change it.",
        body=Scope.PROXY,
        naming=Naming.OPTIONAL,
        repeatable=True,
    ),
    Keyword(
        "resolver",
        "Name servers for the proxy that names this section in use-resolver.",
        body=Scope.RESOLVER,
        naming=Naming.ALWAYS,
        repeatable=True,
    ),
    Keyword(
        "oob-auth",
        "Where out-of-band user names come from; used by auth oob.",
        body=Scope.OOB,
        naming=Naming.ALWAYS,
        repeatable=True,
    ),
    Keyword(
        "interface",
        "A network interface and its addresses; used by the iface form of listen-on.",
        body=Scope.INTERFACE,
        naming=Naming.ALWAYS,
        repeatable=True,
    ),
    Keyword(
        "queue",
        "What a queue name means on this system; used by queue-to-client and queue-to-server.",
        body=Scope.QUEUE,
        naming=Naming.ALWAYS,
        repeatable=True,
        extension=True,
    ),
)

RESOLVER = (
    Keyword(
        "server",
        "A name server; port 53 unless given. Without any, the system's name servers are asked.",
        ((value("server", hosts.SOCK),),),
        repeatable=True,
    ),
    Keyword(
        "search",
        "Domains in which names without a dot are looked up.",
        ((value("domains", words.STRING_LIST),),),
        absent="{ }",
    ),
    Keyword(
        "conf-timeout",
        "How long the resolution of one name of the configuration may take.",
        ((value("seconds", numbers.DECIMAL_SECONDS),),),
        absent="15",
    ),
    Keyword(
        "initial-timeout",
        "How long the first attempt to find a client's name may take.",
        ((value("seconds", numbers.DECIMAL_SECONDS),),),
        absent="1",
    ),
)

OOB = (
    Keyword(
        "method",
        "How users are authenticated. Only external is taken: other programs maintain the file.",
        ((value("method", OOB_METHOD),),),
        obligatory=True,
    ),
    Keyword(
        "file",
        "The list of users: address, tab, user, and where there are groups, tab and groups separated by commas."
        " It is read again when it changes.",
        ((value("path", words.PATH),),),
        obligatory=True,
    ),
    Keyword(
        "max-sessions",
        "How many entries the file may have; one with more is not taken.",
        ((value("number", numbers.POSITIVE32),),),
        absent="1000",
    ),
    Keyword(
        "max-user",
        "How many characters a user name may have.",
        ((value("chars", numbers.POSITIVE16),),),
        absent="64",
    ),
    Keyword(
        "max-groups",
        "How many groups a user may be in.",
        ((value("number", numbers.POSITIVE16),),),
        absent="256",
    ),
)

_DEV = Keyword("dev", "The system's name of the interface.", ((value("device", words.NONEMPTY),),))
_IPV4 = Keyword("ipv4", "The IPv4 address, and its network's prefix length.", ((value("address", hosts.PREFIX4),),))
_IPV6 = Keyword(
    "ipv6",
    "The IPv6 address, and its network's prefix length.",
    ((value("address", hosts.PREFIX6),),),
    extension=True,
)

INTERFACE = (
    _DEV,
    _IPV4,
    _IPV6,
    Keyword(
        "alias",
        "A further address of the interface.",
        body=Scope.ALIAS,
        naming=Naming.ALWAYS,
        repeatable=True,
    ),
    Keyword("virtual", "Taken and ignored.", opaque=True),
)

ALIAS = (_IPV4, _IPV6)

QUEUE = (
    Keyword(
        "mark",
        "The mark that outgoing datagrams carry (SO_MARK), for packet filters and traffic control.",
        ((value("number", numbers.UINT32),),),
        extension=True,
    ),
    Keyword(
        "priority",
        "The queueing priority of outgoing datagrams (SO_PRIORITY).",
        ((value("number", numbers.UINT8),),),
        extension=True,
    ),
    Keyword(
        "rate",
        "How many bits of payload may leave in a second, in each direction by itself, from all workers together."
        " burst is how many bytes may leave at once after a pause; without it, what the rate lets through in an eighth"
        " of a second, and at least 65536 bytes, however low the rate. What goes beyond is dropped."
        " A datagram larger than burst never passes.",
        ((value("bits", numbers.POSITIVE_BYTES), named("burst", numbers.POSITIVE_BYTES)),),
        extension=True,
    ),
)

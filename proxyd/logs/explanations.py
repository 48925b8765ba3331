"""What each message of udp-proxy, and of the frame that both daemons share, means: the text of the message catalogue.

A row is an identifier: what has happened, why it happens, what to do about it. docs/messages.md is made of these rows
(proxyd.logs.messages), in the order of the catalogue; those of UFTP are in proxyd.logs.uftp_explanations.
Source: udp-proxy(8), LOGGING.
"""

from __future__ import annotations

from typing import NamedTuple


class Explanation(NamedTuple):
    """One message in an administrator's words: what it means, what causes it, what to do about it."""

    meaning: str
    cause: str
    remedy: str


NOTHING = "Nothing: the proxy tells what it does."
"""The remedy of a message that reports no fault."""

SESSION_EXPLANATIONS = {
    "UDPP-821-N": Explanation(
        "A rule was looked for, for a client that has no session yet: NAME is the session-acl that decided.",
        "A first datagram of a client. REJECTED with the name of a rule: that rule denies; of `<NULL>`: no rule fits.",
        "If the verdict is not what you want, ask `proxyctl explain FROM TO` which condition of which rule failed.",
    ),
    "LIBA-810-T": Explanation(
        "The items of from, to and server that made the rule fit, each as #number:member.",
        "Log level 8 or 9 is set, and a rule was looked for.",
        NOTHING,
    ),
    "UDPP-710-I": Explanation(
        "A session has begun.",
        "A client that may go on has sent its first datagram.",
        NOTHING,
    ),
    "UDPP-712-N": Explanation(
        "A session has ended, for this reason.",
        "A limit of its rule (dgrams-…, bytes-…, timeout-…), an answer to a one-way session (one-way-reply), an order "
        "(killed), the end of the proxy (shutdown), or a failure.",
        "If sessions end too early, raise the limit that is named; udp-proxy.cfg(5) has them all.",
    ),
    "UDPP-711-I": Explanation(
        "Sum of a session that has ended: bytes passed on to the client (IN) and to the server (OUT), seconds (TIME).",
        "The session that UDPP-712-N has told the end of.",
        NOTHING,
    ),
    "UDPP-888-I": Explanation(
        "The record of an ended session, or of a rejected client, in the stats log, with everything counted.",
        "A session has ended, or a client was rejected (at most once a second is written).",
        "Made for programs: the fields are KEY=value, quoted where they must be.",
    ),
    "UDPP-720-W": Explanation(
        "A new client was turned away because max-sessions is reached. Written once a second at most.",
        "More clients at once than configured, or sessions that nobody needs any more and no timeout ends.",
        "Look with `proxyctl sessions --sort idle`; shorten timeouts, or raise max-sessions after `proxyctl capacity`.",
    ),
    "UDPP-730-E": Explanation(
        "A client was accepted, but the proxy does not know where to send its datagrams.",
        "The client addressed the proxy itself (a non-transparent listener), and its rule has no plug-to.",
        "Give the rule a plug-to, or the condition `transparency transparent` if it is not meant for such clients.",
    ),
    "UDPP-740-W": Explanation(
        "A broadcast was rejected because the proxy could not tell what it sends from what it has heard.",
        "A broadcast session would leave by the interface it came by, from a forced source port.",
        "Drop source-port from that rule, or bind the rule to clients of other networks.",
    ),
    "UDPP-731-E": Explanation(
        "A session could not begin; the step that failed and the system's reason are named.",
        "No route to the server, a source address that this machine does not have, no free port or descriptor.",
        "`proxyctl doctor -f FILE` checks the machine for this configuration and says what mends it.",
    ),
    "UDPP-910-D": Explanation(
        "A datagram came to a session's socket from another address than the server's, and was dropped.",
        "Somebody guesses ports; or the server answers from another address or port than it was asked at.",
        "For a server that does so by design use session-type any-port or any-sock.",
    ),
    "UDPP-913-D": Explanation(
        "A datagram that no session may begin with was dropped.",
        "It is for another machine while its listener is not transparent; or the proxy has sent it itself; or it is a "
        "broadcast whose time to live is used up; or its source is no host's address, and so forged.",
        "If such clients are to be served, make the listener transparent: udp-proxy-transparent(7).",
    ),
    "UDPP-911-D": Explanation(
        "The network reported an error for what was sent to a server; the session goes on.",
        "An ICMP message: no program listens on the server's port, or the server cannot be reached.",
        "Look whether the server runs, and whether a firewall rejects.",
    ),
    "UDPP-912-D": Explanation(
        "So many datagrams could not be sent, and were dropped.",
        "A full send buffer, a lost route, a datagram larger than the path allows, a firewall on this machine.",
        "The reason is the system's; for a lack of buffers raise net.core.wmem_max.",
    ),
    "UDPP-990-F": Explanation(
        "The content of a datagram, as far as data-limit allows.",
        "Log level 9 is set.",
        "Lower the level when you have seen enough: contents may be confidential.",
    ),
    "UDPP-760-W": Explanation(
        "Answers of this queue are sent without its priority; everything else works.",
        "The kernel is older than 6.14 and takes a priority only for a socket as a whole.",
        "Use the mark of the queue for shaping, or a newer kernel.",
    ),
    "UDPP-770-K": Explanation(
        "Somebody sees copies of the datagrams of this session from now on; the track number says of which.",
        "`proxyctl tap`. Who it is stands in the order of the same moment (UDPS-745-K).",
        NOTHING,
    ),
    "UDPP-771-K": Explanation(
        "Nobody sees copies of the datagrams of this session any more, and why.",
        "The watcher has gone, the session has ended, or the tap has reached its bounds.",
        NOTHING,
    ),
    "UDPP-750-W": Explanation(
        "A host name of the configuration could not be looked up; its old addresses stay in force.",
        "The name server is not reached or has no such name.",
        "Look with `dig NAME`. The proxy tries again by itself; UDPP-751-N says when it worked.",
    ),
    "UDPP-751-N": Explanation(
        "A host name that could not be looked up before has addresses again.",
        "The name server answers again.",
        NOTHING,
    ),
    "UDPS-750-N": Explanation(
        "The file of out-of-band users was read.",
        "The proxy started, or the file has changed.",
        NOTHING,
    ),
    "UDPS-751-E": Explanation(
        "The file of out-of-band users was not taken; who was known before is still known.",
        "The file is missing, half-written, or has an error in the line that is named.",
        "Mend the file, writing it under another name and renaming it; it is read again when it changes.",
    ),
}
"""Sessions, names and users."""

FRAME_EXPLANATIONS = {
    "UDPS-700-K": Explanation("The proxy serves.", "It was started.", NOTHING),
    "UDPS-701-K": Explanation(
        "The proxy ends, for the reason named.",
        "A signal, an order, the end of a drain, or a failure that was logged before.",
        "If nobody has asked for it, look for a message with E or C before this one.",
    ),
    "UDPS-722-K": Explanation("All listening sockets are closed.", "The proxy ends.", NOTHING),
    "UDPS-721-K": Explanation(
        "A listener is bound, with one socket a worker.",
        "The proxy starts, or a reload has brought a new listener.",
        NOTHING,
    ),
    "UDPS-723-K": Explanation(
        "A transparent listener is bound to an interface, with one socket a worker.",
        "The proxy starts, or a reload has brought a new listener.",
        NOTHING,
    ),
    "UDPS-724-K": Explanation(
        "A listener's first socket was bound by the service manager, and stays its own.",
        "A socket unit (udp-proxy@.socket, uftpproxyd@.socket) is in force; it names the unit.",
        NOTHING,
    ),
    "UDPS-710-K": Explanation("A child process has started.", "The proxy starts, or a child was replaced.", NOTHING),
    "UDPS-711-W": Explanation(
        "A child ended without having been told to; it is replaced.",
        "It was killed, ran out of memory, or met an error, which UDPS-513-C then tells.",
        "One alone may be an administrator's kill. If they repeat, look at the kernel's log (`dmesg`) for OOM kills.",
    ),
    "UDPS-712-K": Explanation(
        "A worker goes on with the sessions of the one before it: same ports, limits and times.",
        "A worker has crashed, or a reload or an upgrade has replaced it.",
        NOTHING,
    ),
    "UDPS-515-E": Explanation(
        "Some sessions could not be gone on with; their clients begin new ones with their next datagrams.",
        "What the worker before had left of them does not fit together: the reason is named.",
        "After a crash, what made the worker crash may have spoilt it: see UDPS-513-C. Otherwise report it.",
    ),
    "UDPS-511-C": Explanation(
        "A child could not start; the step and the reason are named.",
        "The user, the root directory or a privilege that the configuration asks for is not there.",
        "Check app-user and chroot-dir (udp-proxy) or --user and --chroot (uftpproxyd).",
    ),
    "UDPS-512-C": Explanation(
        "A child said something that it may not say, and was killed and replaced.",
        "An error of the program, or a worker that somebody has taken over from outside.",
        "Report it with the log. If you suspect an intrusion, keep the datagrams: `proxyctl tap`, tcpdump.",
    ),
    "UDPS-513-C": Explanation(
        "An error that nobody has foreseen; the text says where in the program.",
        "An error of the program.",
        "Report it with the whole text. The child is replaced, and the proxy goes on.",
    ),
    "UDPS-514-C": Explanation(
        "A worker's sessions were ended: the processes that were to go on with them died, one after the other.",
        "Something in these sessions ends every process that takes them over: an error of the program.",
        "Report it with the log of what happened before. Everything else goes on.",
    ),
    "UDPS-510-C": Explanation(
        "Children died so often that the proxy gives up.",
        "The same error again and again; it was logged for each child before.",
        "Mend what UDPS-511-C or UDPS-513-C named, then start the proxy again.",
    ),
    "UDPS-730-W": Explanation(
        "So many log records were left out: logging never holds up traffic.",
        "More than 5,000 records at once, or 2,000 a second in the long run, from one worker.",
        "Lower the log level, or log fewer rules (the stats log has every session in one record).",
    ),
    "UDPS-731-W": Explanation(
        "A log could not be written for a while, and so many records were lost.",
        "A full disk, a directory without permission, syslog that is not there.",
        "Make room or mend the permission; writing goes on by itself.",
    ),
    "UDPS-740-K": Explanation("The log level was changed.", "SIGUSR1, SIGUSR2 or `proxyctl loglevel`.", NOTHING),
    "UDPS-741-K": Explanation("The log files were opened again.", "SIGWINCH, as logrotate sends it.", NOTHING),
    "UDPS-743-K": Explanation(
        "The state: processes, sessions or groups, datagrams, drops by reason.",
        "SIGRTMIN+1.",
        "`proxyctl status` shows the same, as a table.",
    ),
    "UDPS-744-K": Explanation(
        "The proxy drains: no session begins any more; it ends with the last one.",
        "SIGQUIT or `proxyctl drain`.",
        "To end it at once send SIGTERM.",
    ),
    "UDPS-770-K": Explanation(
        "The configuration was read again and is valid; the children are replaced one after the other.",
        "SIGHUP, or `proxyctl reload`.",
        "None: UDPS-771-K follows.",
    ),
    "UDPS-771-K": Explanation(
        "Every child works by the new configuration; sessions go on under the rules that they began with.",
        "The reload that UDPS-770-K announced is complete.",
        "None.",
    ),
    "UDPS-772-E": Explanation(
        "The configuration was read again and not taken; everything goes on as it was.",
        "A mistake, which CFGP-300-E tells with its place, or something that the machine refuses.",
        "Mend what is named, see that test-udp accepts the file, and reload again.",
    ),
    "UDPS-773-K": Explanation(
        "A listener has gone from the configuration; whoever has a session there keeps it, nobody new is let in.",
        "A reload.",
        "None; `proxyctl kill` ends the sessions that are left.",
    ),
    "UDPS-774-K": Explanation(
        "A listener that had gone from the configuration is closed.",
        "Its last session has ended.",
        "None.",
    ),
    "UDPS-775-K": Explanation(
        "Clients come to other workers than before, of which there are so many now. Each session, and what waited in"
        " the sockets meanwhile, has gone there. Datagrams are lost only where there is no memory for them.",
        "A reload with another number of workers, or that binds an address beside a wildcard of its port, or with which"
        " the first or the last rule with `source-port` comes or goes.",
        "None: UDPS-771-K follows.",
    ),
    "UDPS-745-K": Explanation(
        "An order came over the control socket.",
        "Somebody used proxyctl; user and process are named.",
        NOTHING,
    ),
    "UDPS-746-W": Explanation(
        "A program was sent away from the control socket.",
        "It is not allowed to, or it did not speak the protocol, or it did not read its answer.",
        "To let a group in, name it in `control { group … }`. Use a proxyctl of the same release.",
    ),
    "UDPS-760-K": Explanation(
        "A newly started program takes over: the workers save their sessions, and stop.",
        "`proxyctl upgrade`, or a start with --takeover.",
        NOTHING,
    ),
    "UDPS-761-K": Explanation(
        "The new program serves, with so many sessions; this one ends.",
        "`proxyctl upgrade`, or a start with --takeover.",
        NOTHING,
    ),
    "UDPS-762-E": Explanation(
        "The new program did not come up; this one goes on with all its sessions.",
        "The reason is named: the new program's own words, its end, or its silence for 30 seconds.",
        "Mend what is named. Check the configuration with the new program (`test-udp -f FILE`), then try again.",
    ),
    "UDPS-763-K": Explanation(
        "This program goes on with the listeners and sessions of the one that ran before.",
        "It was started with --takeover, or the service manager gave back what was laid up with it.",
        NOTHING,
    ),
    "UDPS-764-W": Explanation(
        "This program goes on with the listeners of the one that ran before, and without its sessions.",
        "The two releases lay out shared memory differently, or something that was left is missing.",
        "Nothing: clients begin new sessions with their next datagrams.",
    ),
    "UDPS-769-W": Explanation(
        "What was left by a run before this one cannot be used at all; this one begins from nothing.",
        "The service manager gave back something else than was laid up with it, as the reason says.",
        "Nothing: clients begin new sessions. If an address is in use now, the next start will have it.",
    ),
    "UDPS-779-W": Explanation(
        "What was laid up is gone on with, but for the keys that were with it: this start reads or makes its own.",
        "Another release wrote them down otherwise, or what the service manager gave back is damaged.",
        "Nothing, where keys are files. Peers that knew a key made at a start are shown a new one.",
    ),
    "UDPS-765-K": Explanation(
        "The proxy ends, and the service manager keeps its sessions; their records come when they end.",
        "It was stopped under systemd with FileDescriptorStoreMax= in its unit.",
        NOTHING,
    ),
    "UDPS-766-W": Explanation(
        "The proxy ends, and all sessions with it that the service manager has no room for; each has its record.",
        "The service manager did not take them: the store is too small, or it does not answer.",
        "Make FileDescriptorStoreMax= in the unit larger than max-sessions, and FDSTORE= in its environment the same.",
    ),
    "UDPS-776-W": Explanation(
        "This run goes on with sockets that the service manager may hold, too: each reload waits 10 s for that to end, "
        "and another number of workers for the next start.",
        "The service manager is gone, or does not answer on the socket that NOTIFY_SOCKET names.",
        "Restart the service once the manager answers again, where the number of workers is to change.",
    ),
    "UDPS-767-K": Explanation(
        "The program was started once more, to take over from this process.",
        "`proxyctl upgrade`.",
        NOTHING,
    ),
    "UDPS-768-E": Explanation(
        "The upgrade did not come about; nothing has changed.",
        "The new program could not be started, or ended before it served; its own words are quoted.",
        "Mend what is named, and give the order again.",
    ),
    "UDPS-516-C": Explanation(
        "A worker does not take the datagrams that wait for it; the proxy is not ready, and gives no sign of life.",
        "The process was stopped (SIGSTOP), the machine is overloaded, or an error of the program.",
        "Look at the process with `ps` and `strace`; killing it (SIGKILL) loses no session.",
    ),
    "CFGR-100-D": Explanation("The configuration was read.", "The proxy starts or reloads.", NOTHING),
    "CASE-200-W": Explanation(
        "The configuration is valid, but something about it or this machine will not do what is probably meant.",
        "The text names the place in the file, or the command that mends the machine.",
        "Do as the text says; `proxyctl doctor -f FILE` repeats the check at any time.",
    ),
    "CFGP-300-E": Explanation(
        "An error in the configuration: file, line, column, what was found, what was wanted.",
        "A slip of the pen. All errors are told at once, and nothing was changed.",
        "Mend the file; `test-udp -f FILE` checks it without starting anything.",
    ),
    "UDPS-520-E": Explanation(
        "The proxy could not start; the step and the reason are named.",
        "An address in use or not there, a proxy of that name that runs already, a missing user, directory or right.",
        "Mend what is named; exit statuses are in the manual page.",
    ),
}
"""The frame of both daemons: processes, logs, signals, orders, configuration."""

"""What each message of uftpproxyd means: its part of the message catalogue. See proxyd.logs.explanations.

Source: uftpproxyd(8), DIAGNOSTICS.
"""

from __future__ import annotations

from proxyd.logs.explanations import NOTHING, Explanation

_TRANSFER = "A transfer goes on as it should."
_COUNTS = "Nothing. Messages with (again) are repeats: many of them tell of loss between the two."

UFTP_EXPLANATIONS = {
    "UFTP-100-2": Explanation("The proxy serves, in this mode, with this ID.", "It was started.", NOTHING),
    "UFTP-101-2": Explanation(
        "A key that the proxy has, with the fingerprint that clients and server proxies may ask for.",
        "Options -k or -K.",
        "Give the fingerprint to those who check it (`-s fp=…` of a server proxy, client lists).",
    ),
    "UFTP-102-0": Explanation(
        "A multicast group could not be joined; its traffic is not heard on that interface.",
        "No such address on the interface, or more groups than the kernel allows one socket.",
        "Look at -I and -M; raise net.ipv4.igmp_max_memberships where there are many groups.",
    ),
    "UFTP-103-0": Explanation(
        "So many datagrams could not be sent.",
        "No route, an interface that is down, a full send buffer, a firewall on this machine.",
        "The reason is the system's: mend the route, or raise net.core.wmem_max and -B.",
    ),
    "UFTP-104-3": Explanation("A multicast group was joined.", "The start, or a private group was announced.", NOTHING),
    "UFTP-105-3": Explanation("A multicast group was left.", "No transfer needs it any more.", NOTHING),
    "UFTP-200-2": Explanation("A transfer (group) has begun.", "A server has announced it.", NOTHING),
    "UFTP-201-2": Explanation("The multicast addresses of a group.", "A server has announced it.", NOTHING),
    "UFTP-202-2": Explanation("How a group is encrypted.", "A server has announced it.", NOTHING),
    "UFTP-203-1": Explanation(
        "A group was refused; the server was told why.",
        "Its server is not on the list (-S), its keys or ciphers do not fit ours, or there are too many groups.",
        "The text names the cause: correct the list, give the proxy a key of the server's kind, raise --max-groups.",
    ),
    "UFTP-204-1": Explanation(
        "Nothing more was heard of a group, and it was forgotten.",
        "The server has gone, or the network between server and proxy is cut.",
        "Look at the server's log; the server begins anew by itself if it is restarted.",
    ),
    "UFTP-205-1": Explanation(
        "The protection of this group is weak; the text says in what.",
        "The server chose an old cipher, hash or a short key.",
        "Choose better ones at the server; --strong-crypto-only refuses such groups.",
    ),
    "UFTP-206-1": Explanation(
        "A client was refused because the group has its full number of clients.",
        "More clients than --max-clients.",
        "Raise --max-clients, or spread the clients over several proxies.",
    ),
    "UFTP-207-1": Explanation(
        "A client asked, but did not finish its registration in time.",
        "Loss, a slow client, or keys that do not fit.",
        "Look at the client's log.",
    ),
    "UFTP-208-1": Explanation(
        "The list of clients is applied, but it proves nothing in this group.",
        "The list has no fingerprints, or the server does not have clients show their keys.",
        "Have the server ask for client keys (`uftp -c`), and put fingerprints on the list.",
    ),
    "UFTP-209-2": Explanation(
        "A worker goes on with the transfers of the one before it.",
        "That one was killed, has crashed, or was renewed by a reload or an upgrade.",
        "Nothing; if it was not asked for, look for what ended the worker before.",
    ),
    "UFTP-210-1": Explanation(
        "One transfer of the worker before is not gone on with; the text says why.",
        "Its server is not on the list any more (-S), its key has gone, or what was kept of it was damaged.",
        "If the list was changed on purpose, nothing: the server is heard no more. Else have the server send again.",
    ),
    "UFTP-211-1": Explanation(
        "Nothing that the worker before has left is used; its transfers begin anew.",
        "Three workers in a row have ended as soon as they had taken it over, or it was of another version.",
        "Report it, with the traceback that the log has before it.",
    ),
    "UFTP-212-1": Explanation(
        "So many groups or clients cannot be saved: they would not outlive this worker.",
        "More clients in all groups together than ten times --max-clients, or very long keys.",
        "Raise --max-clients; nothing else is affected.",
    ),
    "UFTP-220-4": Explanation(
        "A datagram that is not UFTP, or not for us, was dropped.",
        "Other programs on the same port or group; scanners.",
        "None, unless it is much: then look who sends it.",
    ),
    "UFTP-221-1": Explanation(
        "A message of a group was not believed and dropped.",
        "Damaged, forged, or of a sender that may not send it; the text says which.",
        "If the sender is one of yours, look at its keys, and at its version.",
    ),
    "UFTP-222-1": Explanation(
        "A client was refused.",
        "It is not on the list (-C), its key is not that of the list, or it is too short (--min-rsa-bits).",
        "Correct the list, or the client's key.",
    ),
    "UFTP-223-1": Explanation(
        "A server proxy has heard an announcement, but does not know yet whom to pass it to.",
        "It was started with fp=…, and no heartbeat of the client proxy has proved itself so far.",
        "Look whether the client proxy sends heartbeats (-H), and whether they arrive (port 1044, or -p).",
    ),
    "UFTP-224-1": Explanation(
        "A message named another sender than the group's server and was dropped.",
        "Two stations with the same ID, or somebody meddles.",
        "Give every station an ID of its own (-U).",
    ),
    "UFTP-225-1": Explanation(
        "A message of a client that is not registered was dropped.",
        "The client registered with another proxy, or before this one was restarted.",
        "None: the client registers with the next announcement.",
    ),
    "UFTP-226-1": Explanation(
        "A client sent in the clear what must be encrypted; it was dropped.",
        "A client that has not understood that the group is encrypted, or a forgery.",
        "Look at the client's version and keys.",
    ),
    "UFTP-230-2": Explanation("A client registers.", _TRANSFER, _COUNTS),
    "UFTP-231-2": Explanation("Clients were registered with the server, many in one message.", _TRANSFER, NOTHING),
    "UFTP-232-2": Explanation("A client has shown its key.", _TRANSFER, _COUNTS),
    "UFTP-233-2": Explanation("The proxy has shown its key to the server.", _TRANSFER, NOTHING),
    "UFTP-234-2": Explanation("The server has confirmed clients.", _TRANSFER, NOTHING),
    "UFTP-235-2": Explanation("The server has sent the group's keys.", _TRANSFER, NOTHING),
    "UFTP-236-2": Explanation("The proxy has acknowledged the group's keys.", _TRANSFER, NOTHING),
    "UFTP-237-2": Explanation("The proxy passes the group's keys to clients.", _TRANSFER, NOTHING),
    "UFTP-238-2": Explanation("A client has acknowledged the group's keys.", _TRANSFER, NOTHING),
    "UFTP-239-2": Explanation(
        "The proxy made a throw-away key.",
        "A server asks for a kind of key that neither -k nor -K gave.",
        "To be known by a lasting fingerprint, give the proxy a key file (-k).",
    ),
    "UFTP-250-2": Explanation("A client is ready for a file, or has it already.", _TRANSFER, NOTHING),
    "UFTP-251-2": Explanation("Clients that are ready for a file were told to the server.", _TRANSFER, NOTHING),
    "UFTP-252-2": Explanation(
        "A client asks for so many blocks of a section again.",
        "Loss between proxy and client.",
        "If it is much: a lower rate at the server (`uftp -R`), larger buffers (-B) at clients and proxies.",
    ),
    "UFTP-253-2": Explanation(
        "So many blocks were asked for again at the server, for all clients together.",
        "Loss somewhere below; what several clients miss is asked for once.",
        "As for UFTP-252-2.",
    ),
    "UFTP-254-2": Explanation("A client has the file, or gave up; the status says which.", _TRANSFER, NOTHING),
    "UFTP-255-2": Explanation("Clients that have the file were told to the server.", _TRANSFER, NOTHING),
    "UFTP-256-1": Explanation(
        "A server or client has aborted; its own reason is given.",
        "An operator, a full disk, keys that do not fit, too much loss.",
        "Look at the log of the station that is named.",
    ),
    "UFTP-257-1": Explanation(
        "The proxy told the server that this client takes no part; 0x00000000: the whole group, here.",
        "The client was refused or lost; the text says why.",
        "As the text says; the message before it has more.",
    ),
    "UFTP-258-1": Explanation(
        "The proxy told clients that this one takes no part; 0x00000000: that the group has ended for all.",
        "Refused, too many, or the group was aborted; the text says why.",
        "As the text says.",
    ),
    "UFTP-259-4": Explanation("The round-trip time of the group has changed.", "The server measures it.", NOTHING),
    "UFTP-270-2": Explanation("A client proxy below has sent a heartbeat.", "Its option -H names us.", NOTHING),
    "UFTP-271-1": Explanation(
        "The server proxy above wants a heartbeat that is signed.",
        "It was started with fp=…; this is how it begins.",
        "None if UFTP-273-2 follows. Otherwise the proxy has no key: -k.",
    ),
    "UFTP-272-1": Explanation(
        "The server proxy above does not believe our heartbeat.",
        "Its fp=… is not the fingerprint of our first key.",
        "Compare `uftp-keymgt KEYFILE` with the option there.",
    ),
    "UFTP-273-2": Explanation("The server proxy above has taken our heartbeat.", "The way up is open.", NOTHING),
    "UFTP-274-1": Explanation(
        "A heartbeat was not believed.",
        "A wrong key or signature, an old nonce, or somebody else's proxy.",
        "If it is your client proxy, compare the fingerprint with fp=….",
    ),
    "UFTP-275-1": Explanation(
        "From now on this is the downstream address.",
        "A heartbeat has proved itself, the first or from a new address (address translation has moved it).",
        NOTHING,
    ),
    "UFTP-276-1": Explanation(
        "A sender of heartbeats was asked to prove itself.",
        "Its heartbeat was not signed, or signed for an old challenge.",
        "None if UFTP-275-1 follows.",
    ),
    "UFTP-277-2": Explanation("A client asks the response proxy for its key.", "Option -R of a client.", NOTHING),
    "UFTP-278-2": Explanation("The response proxy has multicast its key.", "A client has asked.", NOTHING),
    "UFTP-279-1": Explanation(
        "Somebody registers from another address than that of -s, with its port, and is taken for the downstream proxy "
        "in this transfer.",
        "A downstream proxy with several addresses answers from the one that its system chooses; or a stranger speaks.",
        "Name the address it answers from behind -s, if the network can reach it there.",
    ),
}

"""How far a group has come, as its server's datagrams show it while they pass: counted, and shown, nothing more.

In an encrypted group files are announced under its key: there only datagrams are counted. Source: UFTP 4.10.2, observed
(FILEINFO in the clear announces each file before its first block).
"""

from __future__ import annotations

from workers.errors import DecodeError
from workers.uftp import messages
from workers.uftp.groups import Group
from workers.uftp.header import HEADER_BYTES, Function, Header
from workers.uftp.transfer import FileInfo


def note(group: Group, datagram: bytes, head: Header, now_ns: int) -> None:
    """Count a datagram of a group's server that the machine looks at itself; learn which file is on its way."""
    group.progress.count(1, len(datagram))
    if head.function != Function.FILEINFO:
        return
    try:
        message = messages.decode(head, datagram[HEADER_BYTES:])
    except DecodeError:
        return  # whoever it is for will say so
    if isinstance(message, FileInfo):
        group.progress.begin_file(message.file_id, message.size_bytes, message.name, now_ns)

"""The message catalogue for administrators: `python -m proxyd.logs.messages` prints docs/messages.md, and with the file
of udp-proxy(8) behind it renews the list there.

Texts, fields and levels are the event catalogue's, explanations those of proxyd.logs.explanations; nothing else is here
but what holds for all messages.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from proxyd.logs.explanations import FRAME_EXPLANATIONS, SESSION_EXPLANATIONS, Explanation
from proxyd.logs.uftp_explanations import UFTP_EXPLANATIONS
from workers.contract.catalogue import ALWAYS, EVENTS, LEVELS, Event, Line
from workers.contract.events import LEVEL_BASE

EXPLANATIONS: dict[str, Explanation] = SESSION_EXPLANATIONS | FRAME_EXPLANATIONS | UFTP_EXPLANATIONS
"""Every message by its identifier."""

_LINE_CHARS = 118
_FRAME = ("UDPS-", "CFG", "CASE-")
BEGIN = '.\\" From here on made by scripts/messages FILE: change proxyd/logs/explanations.py, not this list.'
END = '.\\" Up to here.'

_HEAD = """\
<!-- Made by scripts/messages from the tables in proxyd/logs/*explanations.py: change those, not this page. -->
# Messages

Every message that the daemons log, by its identifier, which does not change between releases. A message has the same
text each time; words in `<angle brackets>` are replaced, and nothing else.

`udp-proxy` writes the identifier before the text. Its last letter says how serious the message is: **C** critical,
**E** error, **W** warning, **N** notable, **I** session record, **K** life of the proxy, **D** debug, **T** trace,
**F** data.

`uftpproxyd` writes its own messages as uftpproxyd 4.10.2 does, without identifiers: look for the text here. With
`--log-format json` the identifier is in the field `id`. Its last digit is the level of `-x` from which on the message
is written.
"""

_SECTIONS = (
    ("Sessions", SESSION_EXPLANATIONS),
    ("Both daemons: processes, logs, signals, orders, configuration", FRAME_EXPLANATIONS),
    ("UFTP", UFTP_EXPLANATIONS),
)


def level_of(line: Line) -> str:
    """Return in words from which log level on a line is written."""
    if line.stats:
        return "stats log, always"
    if line.letter in ALWAYS:
        return "at every level"
    level = LEVELS[line.letter]
    return f"from -x {level - LEVEL_BASE} on" if line.letter.isdigit() else f"from level {level} on"


def text_of(line: Line) -> str:
    """Return a line's text with the fields in angle brackets, long records cut behind their first fields."""
    text = re.sub(r"\{(\w+)\}", r"<\1>", line.text.removeprefix("{group}"))
    return text if len(text) <= 140 else f"{text[:80].rpartition(' ')[0]} …"


def _item(text: str) -> str:
    return textwrap.fill(text, _LINE_CHARS, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)


def _entry(event: Event, line: Line, explanation: Explanation) -> Iterator[str]:
    yield f"### {line.id}\n"
    yield f"`{text_of(line)}`\n"
    yield _item(f"Written {level_of(line)}; event `{event.name}` in JSON.")
    yield _item(f"Meaning: {explanation.meaning}")
    yield _item(f"Cause: {explanation.cause}")
    yield _item(f"Remedy: {explanation.remedy}") + "\n"


def page(events: Iterable[Event]) -> str:
    """Return the page, with the messages of these events that have an explanation, by section, in their order."""
    lines = {line.id: (event, line) for event in events for line in event.lines}
    parts = [_HEAD]
    for title, explanations in _SECTIONS:
        parts.append(f"## {title}\n")
        for message_id in (each for each in lines if each in explanations):
            parts.extend(_entry(*lines[message_id], explanations[message_id]))
    return "\n".join(parts).rstrip("\n") + "\n"


def manual_list(events: Iterable[Event]) -> str:
    """Return the list of the frame's messages for udp-proxy(8), in mdoc; sessions' are explained there by hand."""
    rows = [BEGIN]
    for message_id in dict.fromkeys(line.id for event in events for line in event.lines):
        if message_id.startswith(_FRAME) and message_id in EXPLANATIONS:
            meaning = re.sub(r"`([^`]*)`", r"\\(lq\1\\(rq", EXPLANATIONS[message_id].meaning)
            rows += [f".It {message_id}", *re.split(r"(?<=[.]) (?=[A-Z])", meaning.replace("…", "\\&..."))]
    return "\n".join([*rows, END])


def renew_manual(text: str, events: Iterable[Event]) -> str:
    """Return the text of udp-proxy(8) with its list renewed. Raises ValueError where it has none."""
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError("found no list of messages; wanted one between its two comments")
    return before + manual_list(events) + after


def main(argv: list[str]) -> None:
    """Print the page, or renew the list in the file that is named."""
    if len(argv) > 1:
        path = Path(argv[1])
        path.write_text(renew_manual(path.read_text(encoding="utf-8"), EVENTS.values()), encoding="utf-8")
    else:
        sys.stdout.write(page(EVENTS.values()))


if __name__ == "__main__":
    main(sys.argv)

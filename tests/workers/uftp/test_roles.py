"""The tables of who does what."""

from __future__ import annotations

from workers.uftp import messages, roles
from workers.uftp.header import Function


def test_every_row_names_the_message_of_its_number() -> None:
    rows = {
        **{number: kind for number, (kind, _) in (roles.STEERED | roles.STEERED_IF_ENCRYPTED | roles.ENTRY).items()},
        **{number: answer.kind for number, answer in roles.SEALED_ANSWERS.items()},
    }
    assert all(number == kind.FUNCTION for number, kind in rows.items())
    assert set(rows) <= set(messages.DECODERS)


def test_only_an_abort_may_come_in_the_clear_in_an_encrypted_group() -> None:
    assert [number for number, answer in roles.SEALED_ANSWERS.items() if answer.clear] == [Function.ABORT]


def test_what_belongs_to_no_group_is_never_routed() -> None:
    assert roles.OUTSIDE_GROUPS < roles.NEVER_ROUTED
    assert Function.ANNOUNCE in roles.NEVER_ROUTED

"""What leaves for clients, one message after the other; how it leaves is shown in test_inbound and test_hearing."""

from __future__ import annotations

from workers.answers import Message, cut
from workers.net.transport import Part


def test_a_message_is_its_datagrams_slot_by_slot_or_cut_out_of_one():
    assert cut(3, [10, 10, 4], one_slot=False) == [Part(3, 0, 10), Part(4, 0, 10), Part(5, 0, 4)]
    assert cut(3, [10, 10, 4], one_slot=True) == [Part(3, 0, 10), Part(3, 10, 10), Part(3, 20, 4)]
    assert Message(None, 3, [10, 4], one_slot=True, control=b"").parts() == cut(3, [10, 4], one_slot=True)

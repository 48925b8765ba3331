"""Settings and datagrams of the UFTP process's tests are what they say."""

from __future__ import annotations

from tests.kit.uftp_process import datagram, make_settings, own_group
from workers.contract.uftp import Mode
from workers.uftp import header


def test_every_proxy_and_every_group_is_another() -> None:
    assert make_settings().port != make_settings().port
    assert own_group() != own_group()
    assert make_settings(Mode.SERVER, ttl=9).ttl == 9


def test_a_datagram_has_a_header_that_the_engine_reads() -> None:
    head = header.decode(datagram(9, 7, bytes(20), source_id=5, sequence=3))
    assert (head.function, head.group_id, head.source_id, head.sequence) == (9, 7, 5, 3)

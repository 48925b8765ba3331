"""The clients of a group and their states."""

from __future__ import annotations

import pytest

from workers.uftp.clients import FINISHED, TRANSITIONS, ClientInput, Clients, ClientState


def everybody(count: int = 3) -> Clients[str]:
    clients: Clients[str] = Clients(count)
    for uid in range(count):
        clients.add(100 + uid)
    return clients


def test_clients_are_known_by_uid_in_the_order_of_their_appearance() -> None:
    clients = everybody()
    found = [clients.get(uid) for uid in (100, 101, 102)]
    assert [client.order for client in found if client] == [0, 1, 2]
    assert clients.get(99) is None
    assert len(clients) == 3


def test_no_more_clients_are_taken_than_the_limit_says() -> None:
    clients = everybody(2)
    assert clients.add(7) is None
    assert len(clients) == 2


def test_every_state_has_a_row_and_leads_to_states() -> None:
    assert set(TRANSITIONS) == set(ClientState)
    assert all(set(row) <= set(ClientInput) for row in TRANSITIONS.values())


def test_a_client_goes_from_registration_to_the_end() -> None:
    clients = everybody(1)
    client = clients.get(100)
    assert client is not None
    assert client.state is ClientState.MUTE
    assert not clients.advance(client, ClientInput.CONFIRMED)
    for step, state in (
        (ClientInput.REGISTERED, ClientState.REGISTERED),
        (ClientInput.CONFIRMED, ClientState.CONFIRMED),
        (ClientInput.PROVED, ClientState.READY),
        (ClientInput.COMPLETED, ClientState.DONE),
    ):
        assert clients.advance(client, step)
        assert client.state is state


def test_a_ready_client_is_not_confirmed_again_but_may_register_again() -> None:
    clients = everybody(1)
    client = clients.get(100)
    assert client is not None
    for step in (ClientInput.REGISTERED, ClientInput.CONFIRMED, ClientInput.PROVED):
        clients.advance(client, step)
    assert not clients.advance(client, ClientInput.CONFIRMED)
    client.keyinfos = 9
    assert clients.advance(client, ClientInput.REGISTERED)
    assert client.state is ClientState.REGISTERED
    assert client.keyinfos == 0


@pytest.mark.parametrize("last", [ClientInput.PROVED, ClientInput.COMPLETED])
def test_all_are_finished_when_each_is_ready_or_gone(last: ClientInput) -> None:
    clients = everybody(2)
    assert not clients.all_finished
    for uid in (100, 101):
        client = clients.get(uid)
        assert client is not None
        clients.advance(client, ClientInput.REGISTERED)
        assert not clients.all_finished
        clients.advance(client, last)
        assert client.state in FINISHED
    assert clients.all_finished
    assert clients.unfinished == []


def test_nobody_is_not_everybody_finished() -> None:
    assert not Clients[str](5).all_finished


def test_those_that_wait_for_the_key_are_the_confirmed_ones() -> None:
    clients = everybody(3)
    for uid in (101, 100):
        client = clients.get(uid)
        assert client is not None
        clients.advance(client, ClientInput.REGISTERED)
        clients.advance(client, ClientInput.CONFIRMED)
    assert [client.uid for client in clients.confirmed] == [101, 100]
    assert [client.uid for client in clients.unfinished] == [100, 101, 102]

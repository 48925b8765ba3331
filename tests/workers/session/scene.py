"""Scenes for tests of the engine: one worker, clients that send to it, and servers that answer."""

from __future__ import annotations

from tests.kit.session_driver import Driver, datagrams, from_client
from tests.kit.session_parts import SECOND, Pool, client
from workers.contract.settings import AclSettings
from workers.session.session import Session

T0 = 50 * SECOND
TENTH = SECOND // 10


def started(pool: Pool, acl: AclSettings, *sizes: int) -> tuple[Driver, Session]:
    """Return a worker with one session, opened by client 1 with datagrams of these sizes."""
    driver = Driver([acl], pool)
    driver.hear_clients(0, [from_client(client(1), *(sizes or (10,)))], T0)
    (session,) = driver.sessions
    return driver, session


def hear(driver: Driver, *sizes: int, at: int = T0, number: int = 1) -> None:
    """Let a client send."""
    driver.hear_clients(0, [from_client(client(number), *sizes)], at)


def answer(driver: Driver, session: Session, *sizes: int, at: int = T0) -> None:
    """Let a session's server send."""
    driver.hear_runs([(session, datagrams(*sizes, source=session.target))], at)


def sizes_out(driver: Driver) -> list[int]:
    """Return the sizes of what left for servers."""
    return [leaving.datagram.size for leaving in driver.out]


def sizes_in(driver: Driver) -> list[int]:
    """Return the sizes of what left for clients."""
    return [leaving.datagram.size for leaving in driver.into]


def ends(driver: Driver) -> list[str]:
    """Return the reasons of the ends recorded since last asked."""
    return [record.fields[4] for record in driver.diary.take("session-end")]

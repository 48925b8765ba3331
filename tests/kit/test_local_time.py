"""A zone puts the clock of a program to where it is wanted."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.kit.local_time import today_at, zone_where_it_is
from tests.kit.place import Place


@pytest.mark.parametrize("hour", [0, 12, 23])
def test_a_program_believes_it_is_the_wanted_time(tmp_path: Path, here: Place, hour: int) -> None:
    wanted = today_at(hour, 59, 50)
    zone = zone_where_it_is(wanted, tmp_path / "zone")
    said = here.run(["env", *(f"{name}={value}" for name, value in zone.items()), "date", "+%Y-%m-%d %H:%M:%S"]).stdout
    late = datetime.fromisoformat(said.strip()) - wanted
    assert timedelta() <= late < timedelta(seconds=30)

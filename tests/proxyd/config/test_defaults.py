from __future__ import annotations

import pytest

from proxyd.config.defaults import default_item, row_of, section_or_default, setting
from tests.proxyd.config.samples import config, load


def test_a_setting_is_what_was_written_or_the_default() -> None:
    proxy = load(config(proxy="fast-path off;")).proxy
    assert setting(proxy, "fast-path") is False
    assert setting(proxy, "cfg-resolution") is True
    assert setting(proxy, "chroot-dir") is None


def test_a_section_left_out_has_its_defaults() -> None:
    log = section_or_default(load(config()).proxy, "log-debug")
    assert setting(log, "level") == 6
    assert log.path == "udp-proxy DNS / log-debug"


def test_default_items_exist_where_the_row_has_a_default() -> None:
    proxy = load(config()).proxy
    phase = default_item(proxy, row_of(proxy, "phase"))
    assert phase is not None
    assert phase.values == {"number": 20}
    assert default_item(proxy, row_of(proxy, "chroot-dir")) is None


def test_a_keyword_of_another_section_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(KeyError):
        row_of(load(config()).proxy, "max-sessions")

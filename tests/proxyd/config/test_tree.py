from __future__ import annotations

from proxyd.config.tree import walk
from tests.proxyd.config.samples import LISTEN, config, load

TREE = load(config(proxy="tag a; tag b;", listen=f"{LISTEN} non-transparent [127.0.0.1] port 5301;")).tree


def test_items_are_found_by_keyword_in_their_order() -> None:
    proxy = next(TREE.sections_of("udp-proxy"))
    assert [item.get("value") for item in proxy.all("tag")] == ["a", "b"]
    first = proxy.item("tag")
    assert first is not None
    assert first.get("value") == "a"
    assert not proxy.has("nodaemon")
    assert proxy.section("monitoring") is None


def test_a_part_knows_its_place() -> None:
    proxy = next(TREE.sections_of("udp-proxy"))
    tag = proxy.item("tag")
    assert tag is not None
    assert tag.at("value").column == tag.position.column + len("tag ")
    assert tag.at("nothing") == tag.position
    assert str(tag.error("found it", "wanted none", "value")).endswith("udp-proxy DNS: found it; wanted none")


def test_a_walk_meets_every_section_outer_ones_first() -> None:
    assert [section.path for section in walk(TREE)] == [
        "",
        "udp-proxy DNS",
        "udp-proxy DNS / listen-on",
        "udp-proxy DNS / udpserver",
        "udp-proxy DNS / session-acl OK",
    ]

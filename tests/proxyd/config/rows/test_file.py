from __future__ import annotations

import pytest

from tests.proxyd.config.samples import config, errors, load


def test_a_resolver_has_servers_domains_and_times() -> None:
    text = config(
        file="resolver R { server [192.0.2.1]; server [::1] : 5353; search { a.example, b }; conf-timeout 2.5; }",
        proxy="use-resolver R;",
    )
    resolver = load(text).settings.resolver
    assert [(address.version, port) for address, port in resolver.servers] == [(4, 53), (6, 5353)]
    assert resolver.search == ("a.example", "b")
    assert (resolver.conf_timeout_ns, resolver.initial_timeout_ns) == (2_500_000_000, 1_000_000_000)


def test_a_queue_has_mark_priority_and_rate_each_optional() -> None:
    queues = load(
        config(file="queue a { mark 7; } queue b { priority 3; rate 8K burst 1K; } queue c { }")
    ).settings.queues
    assert [(queue.name, queue.mark, queue.priority, queue.rate_bps, queue.burst_bytes) for queue in queues] == [
        ("a", 7, None, None, None),
        ("b", None, 3, 8192, 1024),
        ("c", None, None, None, None),
    ]


def test_only_the_external_method_is_taken() -> None:
    found = errors(config(file='oob-auth O { method html-form; file "/x"; }'))
    assert found == ["oob-auth O: found the method 'html-form'; wanted 'external', the only one here"]


@pytest.mark.parametrize("missing", ["method external;", 'file "/x";'])
def test_out_of_band_users_need_method_and_file(missing: str) -> None:
    present = {"method external;", 'file "/x";'} - {missing}
    (found,) = errors(config(file=f"oob-auth O {{ {present.pop()} }}"))
    assert f"found no '{missing.split(maxsplit=1)[0]}'" in found

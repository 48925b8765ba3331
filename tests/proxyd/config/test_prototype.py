from __future__ import annotations

from proxyd.config.prototype import Keyword, Naming, Scope, key, named, value
from proxyd.config.values.numbers import UINT8


def test_prototypes_are_written_as_in_the_manual_page() -> None:
    parts = (key("client"), value("count", UINT8), named("port", UINT8, optional=False), named("to", UINT8))
    row = Keyword("item", "doc", (parts, (value("count", UINT8, "20"),)))
    assert row.prototypes() == ("item [client] count port port [to to];", "item [count];")


def test_sections_show_whether_they_have_a_name() -> None:
    def shown(naming: Naming) -> tuple[str, ...]:
        return Keyword("part", "doc", body=Scope.LOG, naming=naming).prototypes()

    assert shown(Naming.NEVER) == ("part { ... }",)
    assert shown(Naming.OPTIONAL) == ("part [name] { ... }",)
    assert shown(Naming.ALWAYS) == ("part name { ... }",)

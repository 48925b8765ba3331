"""Each rule on a small source that breaks it, and on one that does not."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.kit import source

LONG = "def long():\n" + "    pass\n" * 60
DEEP = "def deep():\n if a:\n  for b in c:\n   while d:\n    with e:\n     if f:\n      pass\n"
ELIFS = "def flat():\n if a:\n  pass\n elif b:\n  pass\n elif c:\n  pass\n elif d:\n  pass\n elif e:\n  pass\n"
MANY = "class C:\n def __init__(self):\n" + "".join(f"  self.a{number} = 0\n" for number in range(16))


def test_imports_are_seen_in_every_form() -> None:
    tree = ast.parse("import os.path\nfrom workers import net\nif x:\n    from a.b import c as d\n")
    names = {name for name, _ in source.imports(tree)}
    assert names == {"os.path", "workers", "workers.net", "a.b", "a.b.c"}


def test_an_import_inside_a_function_is_found() -> None:
    assert source.imports_in_functions(ast.parse("import a\nclass C:\n  def f(self):\n    import b\n"))
    assert not source.imports_in_functions(ast.parse("import a\n"))


def test_a_relative_import_is_found() -> None:
    assert source.relative_imports(ast.parse("from . import a\n"))
    assert not source.relative_imports(ast.parse("from a import b\n"))


def test_a_clock_read_is_found_and_a_clock_argument_is_not() -> None:
    assert source.clock_reads(ast.parse("x = datetime.datetime.now()\n"))
    assert not source.clock_reads(ast.parse("def f(now_ns): return now_ns\n"))


@pytest.mark.parametrize("handler", ["except:", "except Exception:", "except (OSError, BaseException) as error:"])
def test_a_broad_except_is_found(handler: str) -> None:
    assert source.broad_excepts(ast.parse(f"try:\n  f()\n{handler}\n  pass\n"))


def test_a_broad_except_that_raises_again_is_allowed() -> None:
    assert not source.broad_excepts(ast.parse("try:\n  f()\nexcept BaseException:\n  g()\n  raise\n"))


def test_a_narrow_except_is_allowed() -> None:
    assert not source.broad_excepts(ast.parse("try:\n  f()\nexcept (OSError, ValueError):\n  pass\n"))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (LONG, "61 lines"),
        (DEEP, "5 levels"),
        (MANY, "16 attributes"),
        ("def f(self, a, b, c, d, e, g, h, i): pass\n", "8 parameters"),
        ("class C:\n" + "  x = 1\n" * 300, "301 lines"),
        ("x()\n" * 501, "501 lines"),
    ],
)
def test_what_is_too_large_is_found(text: str, word: str) -> None:
    assert [finding for finding in source.oversized(ast.parse(text)) if word in finding]


@pytest.mark.parametrize(
    "text",
    [ELIFS, "def f(self, a, b, c, d, e, g, h): pass\n", "TABLE = (\n" + "  1,\n" * 600 + ")\n"],
    ids=["elifs are one level", "self is no parameter", "tables do not count"],
)
def test_what_only_looks_large_is_allowed(text: str) -> None:
    assert not source.oversized(ast.parse(text))


def test_names_given_and_their_words() -> None:
    tree = ast.parse("def f(a):\n  self.b = c\nclass D: pass\nx: int = 1\n")
    assert {name for name, _ in source.defined_names(tree)} == {"f", "a", "b", "D", "x"}
    assert source.words("PacketBuffer") >= {"packet", "buffer"}
    assert source.words("MAX_PACKET") >= {"max", "packet"}


def test_modules_are_named_by_their_place(tmp_path: Path) -> None:
    (tmp_path / "workers" / "net").mkdir(parents=True)
    (tmp_path / "workers" / "__init__.py").write_text('"""Doc."""\n')
    (tmp_path / "workers" / "net" / "mmsg.py").write_text("def f(): pass\n")
    package, module = source.load(tmp_path, ["workers"])
    assert (package.name, module.name) == ("workers", "workers.net.mmsg")
    assert source.is_empty(package.tree)
    assert not source.is_empty(module.tree)
    assert source.within("workers.net.mmsg", "workers.net")
    assert not source.within("workers.network", "workers.net")

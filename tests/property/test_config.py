"""Whatever is written, a configuration is compiled or refused with its mistakes, and what is listed means the same."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxyd.config.compiler import Compiled
from proxyd.config.dump import Style, hash_of, show_file
from proxyd.config.expression import parse_expression
from proxyd.config.keywords import KEYWORDS
from proxyd.config.load import load, load_text
from proxyd.errors import ConfigErrors
from tests.proxyd.config.samples import config

NOW = datetime(2026, 11, 21, 22, 33)
EXAMPLES = [path.read_text() for path in sorted((Path(__file__).parents[2] / "etc" / "examples").glob("*.cfg"))]

WORDS = sorted(
    {row.name for rows in KEYWORDS.values() for row in rows}
    | {part.name for rows in KEYWORDS.values() for row in rows for form in row.all_forms for part in form}
    | {"NAME", "any-port", "one-way", "broadcast", "ipv6", "normal", "external", "mon-fri", "0800-1630", "www.x.cz"}
    | {"0", "1", "53", "65536", "33K", "0xFF", "1.5", "9" * 5000, "0800", "2400", "feb", "30", "domain", "oob"}
)
VALUES = ('"text"', '"\\q"', "[192.0.2.1]", "[::1/64]", "[1.2.3.4/0xFF00FF00]", "[x]", "/a(b|c)/", "/(/")
SIGNS = ("*", "!", "-", ":", "{", "}", ";", ",", "{ }")
TOKENS = st.one_of(st.sampled_from(WORDS), st.sampled_from(VALUES), st.sampled_from(SIGNS), st.just(";"))
SOUPS = st.lists(TOKENS, max_size=40).map(" ".join)


def outcome(text: str) -> Compiled | None:
    """Return the compiled configuration, None after holding its mistakes to what each must have."""
    try:
        return load_text(text, "t.cfg")
    except ConfigErrors as found:
        errors = found.errors
    assert errors
    for error in errors:
        assert error.position.line >= 1
        assert error.position.column >= 1
        assert str(error).startswith("t.cfg:")
    return None


@given(st.text(max_size=200))
def test_any_text_is_a_configuration_or_has_mistakes(text: str) -> None:
    outcome(text)


@given(SOUPS)
def test_any_words_are_a_configuration_or_have_mistakes(text: str) -> None:
    outcome(text)


@given(SOUPS, st.sampled_from(["file", "proxy", "listen", "server", "acls", "acl"]))
def test_any_words_in_any_section_are_taken_or_refused(text: str, where: str) -> None:
    parts = {"acls": f"session-acl A {{ {text} }}"} if where == "acl" else {where: text}
    found = outcome(config(**parts))
    if isinstance(found, Compiled):
        again = load_text(show_file(found.tree, Style(defaults=True)), "t.cfg")
        assert again.settings == found.settings
        assert hash_of(again.tree) == hash_of(found.tree)


@given(st.data())
def test_an_example_with_a_piece_cut_or_doubled_is_taken_or_refused(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(EXAMPLES))
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 30)))
    times = data.draw(st.sampled_from([0, 2]))
    outcome(text[:start] + text[start:stop] * times + text[stop:])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=100))
def test_any_bytes_are_a_configuration_or_have_mistakes(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "t.cfg"
    file.write_bytes(content)
    message = f"{file}:"
    try:
        load(file)
    except ConfigErrors as errors:
        message = str(errors)
    assert message.startswith(f"{file}:")


@given(st.one_of(st.text(max_size=60), SOUPS))
def test_any_expression_is_taken_or_refused(text: str) -> None:
    message = "test_expr:"
    try:
        assert parse_expression(text, NOW)
    except ConfigErrors as errors:
        message = str(errors)
    assert message.startswith("test_expr:")

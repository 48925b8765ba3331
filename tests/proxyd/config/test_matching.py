from __future__ import annotations

from proxyd.config import keywords
from proxyd.config.matching import Match, default_match, match
from proxyd.config.parser import parse
from proxyd.config.prototype import Keyword, Scope, key, named, value
from proxyd.config.values.numbers import UINT8
from proxyd.config.values.sets import DAY_SET
from proxyd.config.values.words import STRING_SET, STRINGS_OR_ALL, WORD

ROW = Keyword(
    "item", "Doc.", ((value("count", UINT8), key("loud"), named("port", UINT8), named("to", UINT8, default="9")),)
)


def tried(text: str, row: Keyword = ROW) -> Match:
    return match(row, parse(f"item {text};", "t", lambda _: True)[0])


def faults(text: str, row: Keyword = ROW) -> list[str]:
    return [f"{fault.found}; {fault.wanted}" for fault in tried(text, row).faults]


def test_named_parts_come_in_any_order() -> None:
    assert tried("port 1 5 to 2 LOUD").values == {"count": 5, "loud": True, "port": 1, "to": 2}


def test_defaults_of_parts_are_filled_in() -> None:
    found = tried("5")
    assert found.values == {"count": 5, "to": 9}
    assert set(found.places) == {"count"}


def test_a_missing_part_is_named() -> None:
    assert faults("loud") == ["found no 'count' in 'item'; wanted a number from 0 to 255"]


def test_a_name_without_a_value_is_reported() -> None:
    assert faults("5 port") == ["found nothing after 'port'; wanted a number from 0 to 255"]


def test_surplus_elements_are_reported_with_the_nearest_name() -> None:
    assert faults("5 prt 3") == ["found 'prt'; wanted 'loud' or 'port' or 'to' or ';' (did you mean 'port'?)"]
    assert faults("5 loud loud") == ["found 'loud' a second time; wanted it once"]
    assert faults("5 loud port 1 to 2 7") == ["found '7'; wanted ';' after 'item'"]


def test_every_bad_value_of_an_item_is_reported() -> None:
    assert len(faults("500 port x to y")) == 3


def test_the_form_that_explains_the_most_is_blamed() -> None:
    forms = ((key("none", optional=False),), (key("other", optional=False), value("name", WORD)))
    row = Keyword("item", "Doc.", forms)
    assert tried("none", row).form == 0
    assert tried("other x", row).form == 1
    assert faults("oder x", row)[0] == "found 'oder'; wanted 'none' or 'other'"
    assert faults("other", row) == ["found no 'name' in 'item'; wanted a word"]


def test_the_form_that_leads_deepest_into_an_element_is_blamed() -> None:
    row = Keyword("item", "Doc.", ((key("none", optional=False),), (value("names", STRING_SET),)))
    (found,) = faults("{ a, * }", row)
    assert found.startswith("found '*'; wanted a string")


def test_a_sign_before_an_element_is_shown() -> None:
    row = Keyword("item", "Doc.", ((key("none", optional=False),),))
    assert faults("! none", row) == ["found '!' before 'none'; wanted 'none'"]
    assert faults("none ! x", row) == ["found '!' before 'x'; wanted ';' after 'item'"]


def test_a_fault_that_not_all_equally_good_forms_have_is_not_reported() -> None:
    row = keywords.find(Scope.PROXY, "source-address")
    assert row is not None
    true = ["found '[::1]'; wanted an IPv4 address in brackets"]
    assert faults("client addr4 [::1]", row) == true
    assert faults("client addr4 [::1] no-fallback", row) == true
    assert len(faults("addr4 [::1] addr6 [192.0.2.1]", row)) == 2


def test_defaults_of_items_come_from_the_row() -> None:
    row = keywords.find(Scope.ACL, "timeout")
    assert row is not None
    assert default_match(row).values == {"both": 120}


def test_words_that_may_be_left_out_are_not_asked_for() -> None:
    row = Keyword("item", "Doc.", ((key("name", silent=True), value("text", WORD), named("port", UINT8)),))
    assert faults("a b", row) == ["found 'b'; wanted 'port' or ';'"]


def test_the_doubts_of_a_type_are_handed_on() -> None:
    row = Keyword("item", "Doc.", ((value("days", DAY_SET),),))
    (doubt,) = tried("{ *, ! 5 }", row).doubts
    assert doubt.found == "'! 5' comes after what covers it, and has no effect"


def test_the_form_that_led_deeper_into_a_set_explains_it() -> None:
    row = Keyword("item", "Doc.", ((key("none", optional=False),), (value("texts", STRINGS_OR_ALL),)))
    assert faults("{ *, a }", row)[0].startswith("found '*'; wanted a string; other texts")


CHOICE = Keyword(
    "item",
    "Doc.",
    (
        (key("loud"), key("big", optional=False), value("name", WORD, optional=True)),
        (key("loud"), key("small", optional=False)),
    ),
)


def test_a_misspelt_word_that_chooses_the_form_is_not_taken_for_another_part() -> None:
    assert faults("loud smal", CHOICE) == ["found 'smal'; wanted 'big' or 'small' (did you mean 'small'?)"]
    assert tried("loud big x", CHOICE).values == {"loud": True, "big": True, "name": "x"}


def test_what_several_forms_want_is_asked_for_once() -> None:
    assert faults("loud 5", CHOICE) == ["found '5'; wanted 'big' or 'small'"]
    assert faults("loud loud", CHOICE) == ["found 'loud' a second time; wanted it once"]
    assert faults("! loud", CHOICE)[0].startswith("found '!' before 'loud'; wanted 'big' or 'small'")


def test_an_item_is_not_ended_before_what_it_needs() -> None:
    row = Keyword("item", "Doc.", ((value("text", WORD), named("port", UINT8, optional=False), key("loud")),))
    assert faults("a prt 5", row) == ["found 'prt'; wanted 'port' or 'loud' (did you mean 'port'?)"]
    assert faults("a port 5 x", row) == ["found 'x'; wanted 'loud' or ';'"]

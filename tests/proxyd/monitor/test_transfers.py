"""The names of what UFTP workers count fit what they count."""

from __future__ import annotations

from proxyd.monitor import transfers
from tests.proxyd.monitor.views import a_view
from workers.contract.slots import Counter
from workers.contract.slots import DropReason as SendReason
from workers.contract.uftp import DropReason, Fact


def test_every_fact_has_its_name_in_the_order_of_the_words() -> None:
    assert len(transfers.FACTS) == len(Fact)
    for fact, (name, text, _) in zip(Fact, transfers.FACTS, strict=True):
        assert name == fact.name.lower()
        assert text.endswith(".")


def test_every_reason_has_its_word_and_no_two_words_are_one() -> None:
    assert Counter.UFTP_DROPS + len(DropReason) <= Counter.UFTP_FACTS
    with a_view(program="uftpproxyd") as view:
        for reason in DropReason:
            view.regions[0].words[Counter.UFTP_DROPS + reason] = 10 + reason
        view.regions[1].words[Counter.DROPS_OUT + SendReason.SEND_FAILED] = 3
        found = transfers.drops(view)
    assert found["version"] == 10
    assert found["unsent"] == 3
    assert len(found) == len(DropReason) + 1

import pytest

from consilience.base import InvalidInput
from consilience.ensemble.quorum import Quorum, QuorumNotMet, needed


@pytest.mark.parametrize("quorum", [0, -1, 1.5, 0.0, "half", None, True, 5])
def test_quorums_that_mean_nothing_or_cannot_be_met(quorum):
    with pytest.raises(InvalidInput, match="'quorum' parameter of Stack must be a number of members from 1 to 4"):
        needed(quorum, 4, "Stack")


def test_shares_are_rounded_up():
    assert [needed(share, 5, "Stack") for share in (0.2, 0.21, 0.5, 1.0)] == [1, 2, 3, 5]


def test_whoever_leads_counts_for_its_followers():
    quorum = Quorum(3, 4).speaking_for({"b": "a", "c": "a"})
    quorum.check(["a"], {"d": "gone"})
    with pytest.raises(QuorumNotMet, match=r"Only 1 of 4 members answered and the quorum is 3\. Left out: a: gone"):
        quorum.check(["d"], {"a": "gone"})


def test_the_error_says_that_it_is_the_input_only_when_all_refused_it():
    refused = {"a": "ValueError: NaN", "b": "InvalidInput: NaN"}
    with pytest.raises(InvalidInput):
        Quorum(1, 2).check([], refused)
    with pytest.raises(QuorumNotMet) as caught:
        Quorum(1, 2).check([], {**refused, "b": "MemoryError: full"})
    assert not isinstance(caught.value, ValueError)

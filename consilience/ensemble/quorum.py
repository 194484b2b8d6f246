"""How many members must be there, decided once from the members that were configured."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import ceil

import numpy as np

from consilience.base import ConsilienceError, InvalidInput, invalid


class QuorumNotMet(ConsilienceError, RuntimeError):
    """Too few members gave an answer."""


class InputRefused(QuorumNotMet, InvalidInput):
    """No member gave an answer because every one refused what it was given: the rows cannot be used."""


@dataclass(frozen=True)
class Quorum:
    """What must be there before an ensemble answers.

    Attributes
    ----------
    required, n_members : of the members that were configured.
    voices : by name, how many configured members one stands for, where it is more than itself: one that speaks for
        redundant members too counts for all of them.
    """

    required: int
    n_members: int
    voices: Mapping[str, int] = field(default_factory=dict)

    def speaking_for(self, redundant: Mapping[str, str]) -> "Quorum":
        """The same quorum where some members, by name, were left out because they follow another one."""
        voices: dict[str, int] = {}
        for leader in redundant.values():
            voices[leader] = voices.get(leader, 1) + 1
        return replace(self, voices=voices)

    def present(self, names: Iterable[str]) -> int:
        """How many of the configured members these are."""
        return sum(self.voices.get(name, 1) for name in names)

    def check(self, names: Iterable[str], reasons: Mapping[str, str], error: Exception | None = None) -> None:
        """Refuse when too few members are there.

        Parameters
        ----------
        reasons : why others are missing, by name. error : the first member's own, which the refusal comes from.

        Raises
        ------
        QuorumNotMet : fewer than ``required``. It is an ``InputRefused`` where nobody is there and all refused X.
        """
        n_present = self.present(names)
        if n_present >= self.required:
            return
        listed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        text = (
            f"Only {n_present} of {self.n_members} members answered and the quorum is {self.required}. "
            f"Left out: {listed}. "
        )
        refused = n_present == 0 and all(reason.startswith(_REFUSALS) for reason in reasons.values())
        if refused:
            raise InputRefused(f"{text}Every member refused its input: repair X (and y).") from error
        raise QuorumNotMet(f"{text}Repair the members, or lower quorum=.") from error


_REFUSALS = ("ValueError: ", "InvalidInput: ", "TypeError: ", "InputRefused: ")


def needed(quorum: float | int, n_members: int, owner: str) -> int:
    """How many members must answer: an integer is a number of members, a float in (0, 1] a share of them.

    Raises
    ------
    InvalidInput : a quorum that means nothing, or that so few members can never meet.

    Examples
    --------
    >>> needed(0.5, 5, "Stack"), needed(2, 5, "Stack")
    (3, 2)
    """
    required = f"a number of members from 1 to {n_members}, or a share of them in (0, 1]"
    if isinstance(quorum, bool) or not isinstance(quorum, int | float | np.number) or not np.isfinite(quorum):
        raise invalid("quorum", owner, required, quorum)
    counted = isinstance(quorum, int | np.integer)
    if not 0 < quorum <= (n_members if counted else 1.0):
        raise invalid("quorum", owner, required, quorum)
    return int(quorum) if counted else ceil(float(quorum) * n_members)

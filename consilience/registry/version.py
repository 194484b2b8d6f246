"""What the registry says about one version."""

from dataclasses import dataclass, field
from typing import Any

from consilience.registry.names import Number


@dataclass(frozen=True)
class Version:
    """An immutable version, with the stage and pointers that it had when it was looked up.

    Parameters
    ----------
    name, number : ``"spx-direction"``, ``"1.0.0"``.
    digest : SHA-256 of the model's content; equal digests predict equally.
    kind : the class of the predictor.
    bytes : size of its artifacts, those shared with other versions included.
    created : UTC, ISO 8601.
    contract : what it takes and gives (feature and label specification, classes), as given to ``publish``.
    config : constructor parameters of the predictor and its members, taken from the model itself.
    lineage : where it comes from: parents, members, data, code, packages, hardware.
    metrics, verdicts : what was measured, and what the gates said.
    changelog : how it differs from the version before it, one line each.
    retired : when retention gave its artifact up; such a version can be shown but no longer loaded.
    """

    name: str
    number: str
    digest: str
    kind: str
    bytes: int
    created: str
    created_by: str
    stage: str
    pointers: tuple[str, ...] = ()
    contract: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    lineage: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    verdicts: Any = None
    changelog: tuple[str, ...] = ()
    retired: str | None = None

    @property
    def ref(self) -> str:
        """The reference that always means this version."""
        return f"{self.name}=={self.number}"

    @property
    def key(self) -> Number:
        """The number as one that compares."""
        return Number.parse(self.number)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON-able data."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

"""Versions side by side: what differs between two, a table of many, and finding those that match."""

from collections.abc import Iterable, Sequence
from typing import Any

from consilience.base import invalid
from consilience.registry.errors import VersionNotFound
from consilience.registry.numbering import differences
from consilience.registry.version import Version

Difference = tuple[str, Any, Any]


def diff(old: Version, new: Version) -> dict[str, list[Difference]]:
    """What differs, by subject; each difference is (path, old value, new value), None standing for absent.

    Subjects are ``contract``, ``config``, ``features``, ``metrics``, ``data``, ``code``, ``members`` and ``size``.
    """
    config = list(differences(old.config, new.config))
    features = [found for found in config if found[0].split(".")[-1] == "features"]
    return {
        "contract": list(differences(old.contract, new.contract)),
        "config": [found for found in config if found not in features],
        "features": features,
        "metrics": list(differences(old.metrics, new.metrics)),
        "data": list(differences(old.lineage.get("data"), new.lineage.get("data"), "data")),
        "code": [
            found
            for part in ("git", "packages", "python", "backend")
            for found in differences(old.lineage.get(part), new.lineage.get(part), part)
        ],
        "members": list(differences(old.lineage.get("members"), new.lineage.get("members"))),
        "size": list(differences(old.bytes, new.bytes, "bytes")),
    }


def compare(versions: Sequence[Version], metrics: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
    """One row per version, by reference: stage, size, and its metrics under dotted names.

    Parameters
    ----------
    metrics : which ones; all that any of the versions has by default.
    """
    flat = {version.ref: dict(flatten(version.metrics)) for version in versions}
    wanted = list(metrics) if metrics is not None else sorted({name for row in flat.values() for name in row})
    return {
        version.ref: {
            "kind": version.kind,
            "stage": version.stage,
            "created": version.created,
            "bytes": version.bytes,
            **{name: flat[version.ref].get(name) for name in wanted},
        }
        for version in versions
    }


def flatten(value: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    """The leaves of nested dictionaries under dotted names.

    >>> list(flatten({"auc": 0.5, "costs": {"sharpe": 1.0}}))
    [('auc', 0.5), ('costs.sharpe', 1.0)]
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flatten(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def metric(version: Version, name: str) -> float | None:
    """One metric by its dotted name, or None where the version has no such number."""
    value = dict(flatten(version.metrics)).get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def search(
    versions: Iterable[Version],
    *,
    kind: str | None = None,
    stage: str | None = None,
    min_metric: dict[str, float] | None = None,
    max_metric: dict[str, float] | None = None,
    since: str | None = None,
    lineage: dict[str, Any] | None = None,
    text: str | None = None,
) -> list[Version]:
    """Versions that meet every condition, in the order given.

    Parameters
    ----------
    kind : class of the model or of one of its members.
    min_metric, max_metric : dotted metric name to bound; a version without that metric does not match.
    since : ISO time.
    lineage : dotted name to value, such as ``{"git.commit": "…"}``.
    text : part of the name, or of any value of contract, config or lineage.
    """
    found = []
    for version in versions:
        facts = dict(flatten(version.lineage))
        if kind is not None and kind not in _kinds(version.config):
            continue
        if stage is not None and version.stage != stage:
            continue
        if since is not None and version.created < since:
            continue
        if any((value := metric(version, name)) is None or value < low for name, low in (min_metric or {}).items()):
            continue
        if any((value := metric(version, name)) is None or value > high for name, high in (max_metric or {}).items()):
            continue
        if any(facts.get(name) != value for name, value in (lineage or {}).items()):
            continue
        if text is not None and text.lower() not in _text(version):
            continue
        found.append(version)
    return found


def best(versions: Iterable[Version], by: str, *, lowest: bool = False) -> Version:
    """The version with the highest (or lowest) value of a metric."""
    scored = [(value, version) for version in versions if (value := metric(version, by)) is not None]
    if not scored:
        raise VersionNotFound(f"No version has the metric {by!r}.")
    return (min if lowest else max)(scored, key=lambda pair: pair[0])[1]


def check_metrics(bounds: Iterable[str]) -> dict[str, float]:
    """Read bounds written as ``name=number``."""
    read = {}
    for bound in bounds:
        name, sign, value = bound.partition("=")
        try:
            read[name] = float(value)
        except ValueError:
            sign = ""
        if not sign:
            raise invalid("metric", "search", "written as name=number", bound)
    return read


def _kinds(config: dict[str, Any]) -> set[str]:
    found = {str(config.get("class"))}
    for member in config.get("members", {}).values():
        found |= _kinds(member)
    return found


def _text(version: Version) -> str:
    return f"{version.ref} {version.contract} {version.config} {version.lineage}".lower()

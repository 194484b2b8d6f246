import dataclasses

import numpy as np
import pytest

from consilience.base import InvalidInput
from consilience.registry import Refused, Registry, VersionNotFound
from tests.reference.states import logistic, tree


def test_publish_show_and_state(registry):
    version = registry.publish(
        "spx", tree(), contract={"horizon": 1}, metrics={"auc": np.float32(0.5)}, verdicts={"a": True}
    )
    shown = registry.show("spx")
    assert shown == dataclasses.replace(version) and version.ref == "spx==1.0.0" and version.stage == "development"
    assert registry.state("spx==1.0.0").digest() == tree().digest() == version.digest
    assert shown.metrics == {"auc": 0.5} and shown.contract == {"horizon": 1}
    assert shown.lineage["members"].keys() == {"large", "small", "odd"} and "numpy" in shown.lineage["packages"]
    assert [v.ref for v in registry.versions()] == ["spx==1.0.0"] and registry.names() == ["spx"]
    assert registry.verify() == []


def test_the_number_follows_from_what_differs(registry):
    publish = lambda state, **more: registry.publish("spx", state, **more).number  # noqa: E731
    assert publish(logistic(0), contract={"horizon": 1}) == "1.0.0"
    assert publish(logistic(1), contract={"horizon": 1}) == "1.0.1", "another seed is a patch"
    assert publish(logistic(1, C=2.0), contract={"horizon": 1}) == "1.1.0", "a hyper-parameter is minor"
    assert publish(logistic(1, C=2.0, features=5), contract={"horizon": 1}) == "1.2.0", "features are minor"
    assert publish(tree(), contract={"horizon": 1, "classes": [0, 1]}) == "1.3.0", "another learner is minor"
    assert publish(tree(), contract={"horizon": 5, "classes": [0, 1]}) == "2.0.0", "another horizon is major"
    assert publish(logistic(1), contract={"horizon": 5}) == "2.1.0"
    assert publish(logistic(1, classes=(1, 0)), contract={"horizon": 5}) == "3.0.0", "the order of classes is major"
    assert publish(logistic(2, classes=(1, 0)), contract={"horizon": 5}, number="minor") == "3.1.0"
    assert publish(logistic(3, classes=(1, 0)), contract={"horizon": 5}, number="7.0.0") == "7.0.0"


@pytest.mark.parametrize(
    ("asked", "needed"), [("patch", "1.1.0"), ("1.0.1", "1.1.0"), ("1.0.0", "1.1.0"), ("0.9.0", "1.1.0")]
)
def test_a_number_that_hides_a_change_is_refused(local, asked, needed):
    local.publish("spx", logistic(0))
    with pytest.raises(Refused, match=needed):
        local.publish("spx", logistic(0, C=3.0), number=asked)
    assert len(local.versions()) == 1


def test_publishing_the_same_model_again_gives_the_same_version(registry):
    first = registry.publish("spx", logistic(0))
    registry.publish("spx", logistic(1))
    assert registry.publish("spx", logistic(0)).number == first.number
    assert registry.publish("ndx", logistic(0)).ref == "ndx==1.0.0"
    assert registry.publish("spx", logistic(0), contract={"unit": "percent"}).number == "2.0.0"
    assert len(registry.versions("spx")) == 3 and len(registry.artifacts.present()) == 2


def test_the_changelog_is_made_from_the_differences(registry):
    registry.publish("spx", logistic(0), contract={"horizon": 1})
    version = registry.publish("spx", logistic(0, C=9.0), contract={"horizon": 5}, lineage={"data": {"rows": 10}})
    text = "\n".join(version.changelog)
    assert "horizon 1 -> 5" in text and "params.C 1.0 -> 9.0" in text and "other data" in text


def test_what_is_missing_is_named(registry):
    with pytest.raises(VersionNotFound, match="nothing yet"):
        registry.show("spx")
    registry.publish("spx", logistic())
    for ref, hint in (("ndx", "it has spx"), ("spx==2.0.0", "newest are 1.0.0"), ("spx@production", "no pointer")):
        with pytest.raises(VersionNotFound, match=hint):
            registry.load(ref)
    with pytest.raises(VersionNotFound):
        registry.promote("ndx", "staging", reason="x")
    assert registry.names() == ["spx"]


def test_opening_a_registry_that_is_not_there(tmp_path):
    for options in ({"create": False}, {"read_only": True}):
        with pytest.raises(VersionNotFound, match="no registry"):
            Registry(tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_is_no_registry_until_one_is_wanted(location, tmp_path):
    url, artifacts = location
    if "://" not in url:
        (tmp_path / "registry").mkdir()
        (tmp_path / "registry" / "registry.db").touch()
    for options in ({"create": False}, {"read_only": True}):
        with pytest.raises(VersionNotFound, match="no registry"):
            Registry(url, artifacts=artifacts, **options)
    with Registry(url, artifacts=artifacts), Registry(url, artifacts=artifacts, create=False) as opened:
        assert opened.versions() == []


@pytest.mark.parametrize("bad", [{"contract": {"x": float("nan")}}, {"metrics": {"x": object()}}, {"number": "latest"}])
def test_bad_arguments_write_nothing(local, bad):
    with pytest.raises(InvalidInput):
        local.publish("spx", logistic(), **bad)
    assert local.versions() == [] and local.artifacts.present() == []


def test_a_read_only_registry_reads_and_never_writes(local):
    local.publish("spx", logistic())
    local.close()
    before = {path: path.stat().st_mtime_ns for path in local.artifacts.root.rglob("*")}
    with Registry(local.artifacts.root, read_only=True) as opened:
        assert opened.state("spx").digest() == logistic().digest()
    assert {path: path.stat().st_mtime_ns for path in local.artifacts.root.rglob("*")} == before


def test_search_compare_diff_and_lineage(registry):
    registry.publish("spx", logistic(0), metrics={"costs": {"sharpe": 0.2}}, lineage={"data": {"hash": "a"}})
    registry.publish(
        "spx", tree(), metrics={"costs": {"sharpe": 0.9}}, lineage={"data": {"hash": "b"}, "parents": ["spx==1.0.0"]}
    )
    assert [v.number for v in registry.search("spx", min_metric={"costs.sharpe": 0.5})] == [registry.show("spx").number]
    assert len(registry.search(kind="LogisticClassifier")) == 2, "members count"
    assert [v.number for v in registry.search(lineage={"data.hash": "a"})] == ["1.0.0"]
    found = registry.diff("spx==1.0.0", "spx")
    assert ("costs.sharpe", 0.2, 0.9) in found["metrics"] and ("data.hash", "a", "b") in found["data"] and found["size"]
    table = registry.compare("spx==1.0.0", "spx")
    assert [row["costs.sharpe"] for row in table.values()] == [0.2, 0.9]
    assert registry.lineage("spx")["ancestors"]["spx==1.0.0"]["data"] == {"hash": "a"}

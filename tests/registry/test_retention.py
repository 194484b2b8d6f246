import random
import threading

import pytest

from consilience.registry import Refused, Registry, VersionNotFound
from consilience.registry.policies import KeepBest, KeepLatest, KeepNewer, KeepStages, seconds
from tests.reference.states import logistic
from tests.registry.worker import model


def test_nothing_is_collected_without_a_policy(registry):
    registry.publish("spx", model(0))
    for _ in range(2):
        report = registry.gc(dry_run=False, grace=0)
        assert not (report.retired or report.removed or report.leftovers)
    assert registry.verify() == []


def test_a_dry_run_changes_nothing(registry):
    for seed in range(3):
        registry.publish("spx", logistic(seed))
    report = registry.gc(KeepLatest(1))
    assert report.dry_run and report.retired == ["spx==1.0.1", "spx==1.0.0"]
    assert [v.retired for v in registry.versions("spx")] == [None] * 3 and len(registry.artifacts.present()) == 3


def test_policies_keep_what_any_of_them_wants(registry):
    for seed in range(8):
        registry.publish(
            "spx",
            logistic(seed),
            metrics={"auc": -abs(seed - 2)},
            lineage={"parents": [f"spx==1.0.{seed - 1}"]} if seed == 4 else None,
        )
    registry.promote("spx==1.0.4", "candidate", reason="x")
    registry.stage("spx==1.0.5", "staging", reason="x")
    with registry.lease("spx==1.0.0"):
        report = registry.gc(KeepLatest(1), KeepBest("auc"), KeepStages(("staging",)), dry_run=False, grace=0)
    # kept: 0 leased, 2 best, 3 parent of 4, 4 at a pointer, 5 in staging, 7 the latest
    assert report.retired == ["spx==1.0.6", "spx==1.0.1"] and report.removed == []
    assert len(registry.gc(dry_run=False, grace=0).removed) == 2
    assert len(registry.artifacts.present()) == 6 and registry.verify() == []
    assert registry.gc(KeepNewer("1h"), dry_run=False, grace=0).retired == []


def test_a_retired_version_is_shown_but_not_loaded_and_its_number_stays(registry):
    registry.publish("spx", logistic(0))
    registry.publish("spx", logistic(1))
    registry.gc(KeepLatest(1), dry_run=False, grace=0)
    registry.gc(dry_run=False, grace=0)
    assert registry.show("spx==1.0.0").retired and registry.verify() == []
    with pytest.raises(VersionNotFound, match="given up"):
        registry.load("spx==1.0.0")
    with pytest.raises(Refused, match="given up"):
        registry.promote("spx==1.0.0", "candidate", reason="x")
    assert registry.publish("spx", logistic(0)).number == "1.0.2", "the same model again is a new version"
    assert registry.state("spx").digest() == logistic(0).digest()


def test_a_version_given_up_while_it_is_read_is_not_called_damaged(local, monkeypatch):
    local.publish("spx", logistic(0))
    local.publish("spx", logistic(1))
    read = local.artifacts.read

    def too_late(digest, manifests):
        for _ in range(2):
            local.gc(KeepLatest(1), dry_run=False, grace=0)
        return read(digest, manifests)

    monkeypatch.setattr(local.artifacts, "read", too_late)
    with pytest.raises(VersionNotFound, match="given up"):
        local.state("spx==1.0.0")


def test_the_grace_period_is_kept(registry):
    registry.publish("spx", logistic(0))
    registry.publish("spx", logistic(1))
    registry.gc(KeepLatest(1), dry_run=False, grace="1h")
    for _ in range(2):
        assert registry.gc(dry_run=False, grace="1h").removed == []
    assert len(registry.artifacts.present()) == 2
    registry.publish("other", logistic(0))  # wanted again: the tombstone is lifted
    registry.gc(dry_run=False, grace=0)
    assert registry.gc(dry_run=False, grace=0).removed == [] and registry.verify() == []


def test_a_member_that_a_kept_ensemble_needs_is_kept(registry):
    registry.publish("spx", model(0))
    registry.publish("spx", model(1))  # shares its large member with model(0)
    registry.gc(KeepLatest(1), dry_run=False, grace=0)
    registry.gc(dry_run=False, grace=0)
    assert registry.verify() == [] and len(registry.artifacts.present()) == 2


def test_leftovers_of_dead_writers_are_cleared(local):
    local.publish("spx", logistic())
    dead = local.artifacts.root / "staging" / ("0" * 32)
    dead.mkdir()
    (dead / "spec.json").write_text("half")
    with local.artifacts.staging() as living:
        report = local.gc(dry_run=False, grace=0)
        assert report.leftovers == [dead.name] and living.is_dir() and not dead.exists()


def test_an_artifact_that_no_transaction_acknowledged_is_cleared(local):
    from consilience.registry import artifact

    local.artifacts.put(artifact.split(logistic())[0], None)
    assert local.gc(dry_run=False, grace="1h").leftovers == []
    assert local.gc(dry_run=False, grace=0).leftovers == [logistic().digest()] and local.artifacts.present() == []


@pytest.mark.parametrize("span", ["", "x", "-1d", "nan", None, 1e12])
def test_a_bad_age_is_refused(span):
    with pytest.raises(ValueError, match="age"):
        seconds(span)


@pytest.mark.parametrize("steps", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_gc_beside_publish_rollback_and_serving_deletes_nothing_live(location, steps):
    """Four threads act in random order; after each action everything that is live is still there."""
    opened = [Registry(location[0], artifacts=location[1]) for _ in range(4)]
    opened[0].publish("spx", model(0))
    opened[0].promote("spx", "live", reason="x")
    opened[0].publish("spx", model(4))
    opened[0].promote("spx", "live", reason="x")
    failures: list[BaseException] = []

    def act(registry: Registry, rng: random.Random) -> None:
        for _ in range(steps // 4):
            action = rng.randrange(5)
            try:
                if action == 0:
                    version = registry.publish("spx", model(rng.randrange(24)))
                    assert registry.state(version.ref).digest() == version.digest
                elif action == 1:
                    registry.gc(KeepLatest(2), dry_run=False, grace=0)
                elif action == 2:
                    with registry.lease("spx@live") as version:
                        assert registry.state(version.ref).digest() == version.digest
                elif action == 3:
                    registry.promote("spx", "live", reason="x")
                else:
                    registry.rollback("spx", "live", reason="x")
            except (Refused, VersionNotFound):
                pass  # nothing earlier, or retired between two calls: an answer, not a loss
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=act, args=(own, random.Random(seed))) for seed, own in enumerate(opened)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert opened[0].verify() == []
    for registry in opened:
        registry.close()

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from consilience.ensemble.combine import agreement, evidence, hard_vote, soft_vote, softmax

seeds = st.integers(0, 10_000)


def draw(seed, n_members=3, n=5, n_classes=3):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(n_classes), (n_members, n)), rng.random(n_members) + 0.01


@given(seeds)
def test_votes_are_distributions_and_follow_their_definitions(seed):
    proba, weights = draw(seed)
    for vote in (soft_vote, hard_vote):
        np.testing.assert_allclose(vote(proba, weights).sum(axis=1), 1.0)
        np.testing.assert_allclose(vote(proba, 7 * weights), vote(proba, weights))
    expected = sum(w * p for w, p in zip(weights, proba)) / weights.sum()
    np.testing.assert_allclose(soft_vote(proba, weights), expected)
    np.testing.assert_array_equal(hard_vote(proba[:1], weights[:1]).argmax(axis=1), proba[0].argmax(axis=1))


@given(seeds)
def test_softmax_of_log_probabilities_is_the_identity_and_ignores_shifts(seed):
    proba, _ = draw(seed)
    np.testing.assert_allclose(softmax(np.log(proba)), proba)
    np.testing.assert_allclose(softmax(np.log(proba) + 900.0), proba)


def test_evidence_is_zero_at_the_base_rate_and_finite_at_certainty():
    base = np.array([0.3, 0.7])
    np.testing.assert_allclose(evidence(base[None, None], base), 0.0, atol=1e-12)
    assert np.isfinite(evidence(np.array([[[0.0, 1.0]]]), base)).all()


def test_agreement_counts_members_of_the_same_opinion():
    proba = np.array([[[0.9, 0.1]], [[0.2, 0.8]], [[0.6, 0.4]], [[0.7, 0.3]]])
    assert agreement(proba, np.array([[0.55, 0.45]])) == [0.75]

"""Calibration of the bound, compared with scipy and with drafts with known numbers."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats
from toys import tiny_pair

from adaedl.errors import UserError
from adaedl.recordings import calibration
from adaedl.recordings.calibration import COLUMNS, calibrate, drafts_of_recording
from adaedl.recordings.recorder import record
from adaedl.request import Sampling
from adaedl.stopping import acceptance_lower_bound

PROMPT = "w3 w14 w15 w9 w2"


def drafts_with(entropy, beta, **columns) -> pd.DataFrame:
    frame = pd.DataFrame({"entropy": entropy, "beta": beta, **columns})
    return frame.reindex(columns=COLUMNS)


@pytest.fixture
def noisy() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    entropy = generator.gamma(1.0, 1.5, 400)
    beta = (1 - np.sqrt(0.12 * entropy) + 0.1 * generator.normal(size=400)).clip(0, 1)
    top_prob, margin = np.exp(-entropy), np.exp(-entropy) - generator.uniform(0, 0.1, 400)
    return drafts_with(
        entropy, beta, top_prob=top_prob, margin=margin, token_prob=generator.uniform(size=400)
    )


def test_the_bound_equals_the_stoppers_bound(noisy):
    expected = [acceptance_lower_bound(entropy, 0.3) for entropy in noisy["entropy"]]
    assert calibration.lower_bound(noisy["entropy"], 0.3) == pytest.approx(expected)


def test_the_fitted_gamma_matches_scipys_least_squares(noisy):
    def errors(gamma):
        return 1 - np.sqrt(gamma[0] * noisy["entropy"]) - noisy["beta"]

    expected = optimize.least_squares(errors, [0.2], bounds=(1e-9, 10), xtol=1e-12, ftol=1e-12).x[0]
    assert calibration.fit_gamma(noisy) == pytest.approx(expected, rel=1e-4)


def test_a_known_gamma_is_recovered():
    entropy = np.linspace(0.1, 3, 50)
    assert calibration.fit_gamma(drafts_with(entropy, 1 - np.sqrt(0.17 * entropy))) == pytest.approx(0.17)


@pytest.mark.parametrize("share", [0.5, 0.95, 1.0])
def test_the_gamma_for_a_coverage_is_the_smallest_that_reaches_it(noisy, share):
    gamma = calibration.fit_gamma_for_coverage(noisy, share)
    assert calibration.coverage(noisy, gamma * (1 + 1e-9)) >= share
    assert calibration.coverage(noisy, gamma * 0.999) < share


def test_without_entropy_there_is_no_gamma():
    certain = drafts_with([0.0, 0.0], [1.0, 0.4])
    assert calibration.fit_gamma(certain) is None
    assert calibration.fit_gamma_for_coverage(certain) is None
    assert calibration.fit_gamma_for_coverage(certain, 0.5) == 0


def test_rank_correlations_are_spearmans(noisy):
    correlations = calibration.rank_correlations(noisy)
    expected = -stats.spearmanr(noisy["entropy"], noisy["beta"]).statistic
    assert correlations["bound"] == pytest.approx(expected)
    for name in ("top_prob", "margin", "token_prob"):
        assert correlations[name] == pytest.approx(stats.spearmanr(noisy[name], noisy["beta"]).statistic)
    assert math.isnan(calibration.rank_correlations(noisy.assign(margin=np.nan))["margin"])


def test_coverage_counts_drafts_with_a_bound_of_at_most_beta():
    # Bounds at γ = 0.2: 1, 0.5528, 0.1056
    drafts = drafts_with([0.0, 1.0, 4.0], [1.0, 0.55, 0.2])
    assert calibration.coverage(drafts) == pytest.approx(2 / 3)


def test_calibration_uses_the_drafts_that_the_text_reaches():
    recording = record(tiny_pair("feature"), PROMPT, Sampling(0.8), max_new_tokens=24)
    drafts = drafts_of_recording(recording)
    assert len(drafts) == sum(len(chain.beta) for chain in recording.chains)
    assert drafts["accepted"].sum() == sum(recording.acceptable)
    first = drafts[drafts["draft"] == 1]
    assert first["beta"].tolist() == [chain.beta[0] for chain in recording.chains if chain.beta]
    result = calibrate(drafts)
    assert result.drafts == len(drafts)
    assert 0 <= result.coverage <= 1


def test_calibrating_without_drafts_is_refused_in_a_sentence():
    with pytest.raises(UserError, match="No draft here has a known β"):
        calibrate(drafts_with([], []))

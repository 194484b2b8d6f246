"""What every predictor says of rows that it cannot read."""

import numpy as np
import pandas as pd
import pytest

from consilience.base import InvalidInput
from consilience.boosting import LightGBMClassifier, LogisticClassifier


def rows():
    X = pd.DataFrame(np.random.default_rng(0).standard_normal((40, 3)), columns=["open", "high", "low"])
    return X, (X["open"] > 0).astype(int).to_numpy()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_named_by_its_column(value):
    X, y = rows()
    model = LogisticClassifier().fit(X, y)
    broken = X.copy()
    broken.loc[[3, 9], "high"] = value
    broken.loc[5, "low"] = np.nan
    what = "NaN" if np.isnan(value) else "infinity"
    text = rf"column 'high' has {what} in 2 of 40 rows, first in row 3, and 3 rows in all"
    for call in (lambda: LogisticClassifier().fit(broken, y), lambda: model.predict_proba(broken)):
        with pytest.raises(InvalidInput, match=text) as caught:
            call()
        assert "\n" not in str(caught.value)
    plain = X.to_numpy().copy()
    plain[3, 1] = value
    with pytest.raises(InvalidInput, match=rf"column 1 has {what} in 1 of 40 rows, first in row 3\. Fill"):
        LogisticClassifier().fit(plain, y)


def test_where_missing_values_are_taken_only_infinity_is_refused():
    X, y = rows()
    X.loc[2, "open"] = np.nan
    LightGBMClassifier(n_estimators=2).fit(X, y)
    X.loc[7, "low"] = np.inf
    with pytest.raises(InvalidInput, match=r"finite numbers or NaN .*column 'low' has infinity in 1 of 40 rows"):
        LightGBMClassifier(n_estimators=2).fit(X, y)

"""Trading measures as independent libraries give them, made in another environment.

empyrical-reloaded 0.5.12 (annual_return … max_drawdown, daily) and quantstats 0.0.86 (profit_factor, win_rate), on
numpy 2.4.6; quantstats' Sharpe ratio and volatility were the same to 1e-14.
"""

import numpy as np


def series(kind: str) -> np.ndarray:
    """Random and degenerate return series."""
    rng = np.random.default_rng(7)
    return {
        "normal": lambda: rng.normal(4e-4, 0.01, 500),
        "fat tails": lambda: rng.standard_t(3, 750) * 0.01,
        "mostly idle": lambda: np.where(rng.random(300) < 0.1, rng.normal(0, 0.02, 300), 0.0),
        "all losses": lambda: -np.abs(rng.normal(0, 0.01, 60)),
        "ties": lambda: rng.choice([-0.01, 0.0, 0.01], 200),
    }[kind]()


NAMES = (
    "annual_return", "annual_volatility", "sharpe", "sortino", "calmar", "max_drawdown", "profit_factor", "win_rate",
)  # fmt: skip
EXPECTED = {
    "normal": (
        -0.20845636456509586,
        0.14888590584528694,
        -1.495028746276316,
        -1.966329256877067,
        -0.5578077671508435,
        -0.37370645738736136,
        0.7876944032905432,
        0.46,
    ),
    "fat tails": (
        -0.17980866677868335,
        0.23639233153597788,
        -0.7204476800444084,
        -1.0112940722675734,
        -0.2983492291794682,
        -0.6026785028846906,
        0.8795378702133715,
        0.472,
    ),
    "mostly idle": (
        0.060946860201458675,
        0.09798611311985574,
        0.652256174135333,
        1.100078445289221,
        0.4810921432481751,
        -0.12668438064684578,
        1.4030071361751322,
        0.5333333333333333,
    ),
    "all losses": (
        -0.8290696026514203,
        0.09276354008667888,
        -18.930349488638097,
        -12.205791145848362,
        -2.4146909436022024,
        -0.3433439814929797,
        0.0,
        0.0,
    ),
    "ties": (
        0.07014069397404099,
        0.12521868308269654,
        0.6037437716069295,
        0.8768201408054181,
        1.181479246499886,
        -0.059366843879680255,
        1.1016949152542375,
        0.5241935483870968,
    ),
}

"""Trading measures by plain loops over one return series, straight from their definitions."""

import math


def measures(returns, periods_per_year=252.0, risk_free=0.0):
    n = len(returns)
    mean = sum(returns) / n
    deviation = math.sqrt(sum((r - mean) ** 2 for r in returns) / (n - 1))
    downside = math.sqrt(sum(min(r - risk_free, 0.0) ** 2 for r in returns) / n)
    wealth = peak = 1.0
    deepest, under, longest = 0.0, 0, 0
    for r in returns:
        wealth *= 1.0 + r
        peak = max(peak, wealth)
        deepest = min(deepest, wealth / peak - 1.0)
        under = 0 if wealth >= peak else under + 1
        longest = max(longest, under)
    annual = -1.0 if wealth <= 0 else wealth ** (periods_per_year / n) - 1.0
    gains, losses = sum(max(r, 0.0) for r in returns), -sum(min(r, 0.0) for r in returns)
    trades = sum(r != 0 for r in returns)
    return {
        "annual_return": annual,
        "annual_volatility": deviation * math.sqrt(periods_per_year),
        "sharpe": quotient(mean - risk_free, deviation) * math.sqrt(periods_per_year),
        "sortino": quotient(mean - risk_free, downside) * math.sqrt(periods_per_year),
        "calmar": quotient(annual, -deepest),
        "max_drawdown": max(deepest, -1.0),
        "max_drawdown_length": float(longest),
        "win_rate": sum(r > 0 for r in returns) / max(trades, 1),
        "profit_factor": quotient(gains, losses),
    }


def quotient(above, below):
    if below == 0.0:
        return 0.0 if above == 0.0 else math.copysign(math.inf, above)
    return above / below


def held(position, forward, costs, horizon):
    """Returns of one asset after costs; the capital is split over ``horizon`` overlapping sub-portfolios."""
    out = []
    for i, (p, r) in enumerate(zip(position, forward)):
        before = position[i - horizon] if i >= horizon else 0.0
        out.append(p * r - costs * abs(p - before))
    return out

"""Whether a difference of counts is more than chance.

Participants who come independently are Poisson counts. Of two of them, given their sum n, the first is binomial: n
trials with the share of the exposure (time, or money) that the first had (Przyborowski and Wilenski, "Homogeneity of
results in testing samples from Poisson series", Biometrika 31, 1940). So no rate has to be estimated.

Up to TRIALS_EXACT trials the tail of that binomial is summed exactly. Above, it is bounded by Chernoff's inequality,
exp(-n D(k/n || p)) with the relative entropy D (Hoeffding, "Probability inequalities for sums of bounded random
variables", JASA 58, 1963, theorem 1). The bound is never below the probability: it claims too
little, never too much.
"""

import math

TRIALS_EXACT = 1_000


def at_least(successes: int, trials: int, share: float) -> float:
    """The probability, or an upper bound of it, of so many successes or more among independent trials.

    Args:
        share: the probability of a success, between 0 and 1, without the bounds.
    """
    if successes <= trials * share:
        return 1.0
    if trials > TRIALS_EXACT:
        return math.exp(-trials * _relative_entropy(successes / trials, share))
    return min(1.0, math.fsum(_binomial(count, trials, share) for count in range(successes, trials + 1)))


def differ(one: int, other: int, level: float) -> bool:
    """Whether two counts of equal exposure differ by more than chance, in either direction."""
    return 2 * at_least(max(one, other), one + other, 0.5) <= level


def _binomial(successes: int, trials: int, share: float) -> float:
    ways = math.lgamma(trials + 1) - math.lgamma(successes + 1) - math.lgamma(trials - successes + 1)
    return math.exp(ways + successes * math.log(share) + (trials - successes) * math.log1p(-share))


def _relative_entropy(found: float, share: float) -> float:
    rest = 0.0 if found >= 1 else (1 - found) * math.log((1 - found) / (1 - share))
    return found * math.log(found / share) + rest

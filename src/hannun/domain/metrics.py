"""The metrics of the API with their exact definitions. The page shows them too (`web/static/texts/figures.js`).

Rates and ROI are percent with two decimals, rounded half even; money is won with two. Division by 0 gives None, never 0
and never NaN: without a base there is no rate. What no message has said is None too, and so is what is computed from
it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class ChannelCounts:
    """What was counted and measured on one channel, or on several together. Counts are added, in any grouping."""

    participants: int = 0
    impressions: int = 0
    views: int = 0
    clicks: int = 0
    conversions: int = 0
    likes: int = 0
    comments: int = 0
    shares: int = 0
    total_calls: int = 0
    completed_calls: int = 0

    def __add__(self, other: "ChannelCounts") -> "ChannelCounts":
        # Named one by one: a loop over the names costs four times as much, in every answer.
        return ChannelCounts(
            self.participants + other.participants,
            self.impressions + other.impressions,
            self.views + other.views,
            self.clicks + other.clicks,
            self.conversions + other.conversions,
            self.likes + other.likes,
            self.comments + other.comments,
            self.shares + other.shares,
            self.total_calls + other.total_calls,
            self.completed_calls + other.completed_calls,
        )

    @property
    def engagement(self) -> int:
        """Interactions: likes, comments, shares and clicks."""
        return self.likes + self.comments + self.shares + self.clicks

    @property
    def click_through_rate(self) -> Decimal | None:
        return percent(self.clicks, self.impressions)

    @property
    def engagement_rate(self) -> Decimal | None:
        return percent(self.engagement, self.impressions)

    @property
    def participation_rate(self) -> Decimal | None:
        return percent(self.participants, self.views)

    @property
    def conversion_rate(self) -> Decimal | None:
        """Conversions / clicks: of a TV or SNS channel, and of an event over those channels."""
        return percent(self.conversions, self.clicks)

    @property
    def call_completion_rate(self) -> Decimal | None:
        """Completed calls / calls: the conversion rate of a VOICE channel."""
        return percent(self.completed_calls, self.total_calls)


def sum_counts(counts: Iterable[ChannelCounts]) -> ChannelCounts:
    return sum(counts, ChannelCounts())


@dataclass(frozen=True, slots=True)
class Money:
    """Money of one event, or of several together, in won. A figure that no message has said is None.

    recorded: None while no sale is recorded.

    Of several events each figure is the sum of what was said. Each event has its own revenue:

    assumed: the expected revenue of the events without recorded sales.
    grown: the recorded sales of the events with a baseline.
    """

    planned: Decimal | None
    channel_costs: Decimal | None
    expected: Decimal | None
    recorded: Decimal | None
    baseline: Decimal | None
    assumed: Decimal | None = None
    grown: Decimal | None = None

    @property
    def investment(self) -> Decimal | None:
        return sum_of_said((self.planned, self.channel_costs))

    @property
    def revenue(self) -> Decimal | None:
        """Recorded sales where there are any, else the expected revenue; decided for each event by itself."""
        return self.expected if self.recorded is None else sum_of_said((self.recorded, self.assumed))

    @property
    def assumed_share(self) -> Decimal | None:
        """The share of the revenue that is expected and not recorded, in percent; None without revenue."""
        if self.revenue is None:
            return None
        return percent((self.expected if self.recorded is None else self.assumed) or 0, self.revenue)

    @property
    def current_roi(self) -> Decimal | None:
        return return_on_investment(self.revenue, self.investment)

    @property
    def estimated_roi(self) -> Decimal | None:
        return return_on_investment(self.expected, self.investment)

    @property
    def sales_growth_rate(self) -> Decimal | None:
        recorded = self.recorded if self.grown is None else self.grown
        if recorded is None or self.baseline is None:
            return None
        return percent(recorded - self.baseline, self.baseline)

    def break_even_participants(self, participants: int) -> int | None:
        """How many participants it takes, at the revenue that each brings now, to earn the investment."""
        investment, revenue = self.investment, self.revenue
        if investment is None or revenue is None or revenue <= 0 or participants == 0:
            return None
        needed = Fraction(investment) * participants / Fraction(revenue)
        return -(-needed.numerator // needed.denominator)


def sum_of_said(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """The sum of the amounts that were said; None where none was."""
    said = [amount for amount in amounts if amount is not None]
    return sum(said, Decimal("0.00")) if said else None


def sum_money(parts: Iterable[Money]) -> Money:
    """The money of several together: each figure is the sum of what was said."""
    columns = zip(
        *((m.planned, m.channel_costs, m.expected, m.recorded, m.baseline, m.assumed, m.grown) for m in parts),
        strict=True,
    )
    return Money(*map(sum_of_said, columns))


def return_on_investment(revenue: Decimal | None, investment: Decimal | None) -> Decimal | None:
    """The return on an investment in percent; None where one of the two is not known, or nothing is invested."""
    if revenue is None or investment is None:
        return None
    return percent(revenue - investment, investment)


def percent(part: Decimal | int, whole: Decimal | int) -> Decimal | None:
    """`part` of `whole` in percent, exact, rounded half even to two decimals; None where `whole` is not positive."""
    if whole <= 0:
        return None
    return _rounded_quotient(part, whole, 100)


def cost_per(cost: Decimal | None, count: int) -> Decimal | None:
    """Won for each; None for a count of 0, and for a cost that is not known."""
    return None if cost is None or count == 0 else _rounded_quotient(cost, count)


def percent_change(now: int, before: int) -> Decimal | None:
    """By how many percent a count has changed; None where it was 0 before (the page shows "new")."""
    return percent(now - before, before)


def json_number(figure: Decimal | None) -> float | int | None:
    """A figure as a JSON number: an int where it is whole."""
    if figure is None:
        return None
    return int(figure) if figure == figure.to_integral_value() else float(figure)


def _rounded_quotient(part: Decimal | int, whole: Decimal | int, factor: int = 1) -> Decimal:
    """part / whole * factor, exact, rounded half even to two decimals."""
    # Whole numbers: `Fraction` takes four times as long, and an answer has dozens of these.
    (part_over, part_under), (whole_over, whole_under) = part.as_integer_ratio(), whole.as_integer_ratio()
    over, under = part_over * whole_under * factor * 100, part_under * whole_over
    if under < 0:
        over, under = -over, -under
    cents, rest = divmod(over, under)
    if 2 * rest > under or (2 * rest == under and cents % 2):
        cents += 1
    return Decimal(cents).scaleb(-2)

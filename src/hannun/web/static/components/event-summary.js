/** The figures of an event that matter first, as tiles, and the chart of the chosen one below them. */
import { html } from "../html.js";
import { METRICS, requestedMetric } from "../chart-range.js";
import { isOngoing, isOver } from "../event-phase.js";
import { formatCount, formatPercent } from "../format.js";
import { isMissing, measuredOrNull } from "../provenance.js";
import { useUnchanged } from "../sharing.js";
import { hrefWith, now, replaceRoute, texts } from "../state.js";
import { Chart } from "./chart.js";
import { MetricTile } from "./metric-tile.js";
import { AnimatedNumber, Money, Unit } from "./number.js";
import { missingRoiReason, revenueBasis, RoiText, targetText } from "./roi.js";

/** @typedef {import("../api-types.js").Dashboard} Dashboard */
/** @typedef {import("../api-types.js").Insights} Insights */
/** @typedef {import("../api-types.js").Figure} Figure */
/** @typedef {import("../chart-range.js").Metric} Metric */

/**
 * @param {object} props
 * @param {Dashboard} props.dashboard
 * @param {Dashboard | null} props.today the figures of today, beside those of yesterday up to the same time
 * @param {Insights | null} props.insights
 * @param {import("./chart.js").ShownTimeline | null} props.shownTimeline
 * @param {import("../chart-range.js").RequestedChart} props.requested
 * @param {boolean} props.current
 * @param {boolean} props.failed
 */
export function EventSummary({ dashboard, today, insights, shownTimeline, requested, current, failed }) {
  const t = texts.value;
  const { summary, roi, provenance } = dashboard;
  const views = measuredOrNull(summary.totalViews, provenance, "summary.totalViews");
  const conversions = measuredOrNull(summary.totalConversions, provenance, "summary.totalConversions");
  const rate = isMissing(views) ? null : summary.participationRate;
  const chosen = requestedMetric();
  const measured = { participants: true, views: !isMissing(views), participationRate: !isMissing(views), conversions: !isMissing(conversions) };
  const ongoing = isOngoing(dashboard, now.value);
  const dates = useUnchanged(datesOf(dashboard));
  /** Changes take their place also before they are loaded. @param {"totalParticipants" | "totalViews" | "totalConversions"} figure */
  const onDayBefore = (figure) => ({
    name: t.change.day,
    delta: today?.summary.delta?.[figure],
    now: today?.summary[figure],
    before: today?.summary.previous?.[figure],
    path: `summary.delta.${figure}`,
    answer: today,
  });
  /** @param {"day" | "week"} name @returns {import("./metric-tile.js").Change} */
  const comparisonOf = (name) => {
    const comparison = insights?.comparisons[name];
    return { name: t.change[name], delta: comparison?.delta, now: comparison?.participants, before: comparison?.previous.participants, path: `comparisons.${name}.delta`, answer: insights };
  };
  /** The props of a tile that shows its metric in the chart. @param {Metric} metric */
  const showing = (metric) => ({ pressed: metric === chosen, onPress: () => replaceRoute(hrefWith("metric", metric === METRICS[0] ? null : metric)) });
  return html`
    <div class="card event-summary">
      <div class="metrics">
        <${MetricTile}
          ...${showing("participants")}
          class="hero"
          name=${t.tile.participants}
          dashboard=${dashboard}
          path="summary.totalParticipants"
          figure=${summary.totalParticipants}
          missingReason=${t.missingReason.participants}
          changes=${ongoing && [insights ? comparisonOf("day") : onDayBefore("totalParticipants"), comparisonOf("week")]}
        >
          <${AnimatedNumber} value=${summary.totalParticipants} format=${formatCount} /><${Unit} unit=${t.participantsUnit} />
        <//>
        <${RoiMetric} dashboard=${dashboard} />
        <${MetricTile}
          ...${showing("views")}
          name=${t.tile.views}
          dashboard=${dashboard}
          path="summary.totalViews"
          figure=${views}
          missingReason=${t.missingReason.views}
          changes=${ongoing && [onDayBefore("totalViews")]}
        >
          <${AnimatedNumber} value=${views} format=${formatCount} /><${Unit} unit=${t.viewsUnit} />
        <//>
        <${MetricTile}
          ...${showing("participationRate")}
          name=${t.tile.participationRate}
          dashboard=${dashboard}
          path="summary.participationRate"
          figure=${rate}
          missingReason=${isMissing(views) ? t.missingReason.views : t.missingReason.participationRate}
        >
          <${AnimatedNumber} value=${rate} format=${formatPercent} />
        <//>
        <${MetricTile}
          ...${showing("conversions")}
          name=${t.tile.conversions}
          dashboard=${dashboard}
          path="summary.totalConversions"
          figure=${conversions}
          missingReason=${t.missingReason.views}
          changes=${ongoing && [onDayBefore("totalConversions")]}
        >
          <${AnimatedNumber} value=${conversions} format=${formatCount} /><${Unit} unit=${t.conversionsUnit} />
        <//>
        <${MetricTile}
          name=${t.tile.costPerParticipant}
          dashboard=${dashboard}
          path="roi.costPerParticipant"
          figure=${roi.costPerParticipant}
          missingReason=${summary.totalParticipants ? t.missingReason.investment : t.missingReason.costPerParticipant}
        >
          <${Money} value=${roi.costPerParticipant} />
        <//>
      </div>
      <${Chart}
        shown=${shownTimeline}
        event=${dates}
        requested=${requested}
        current=${current}
        failed=${failed}
        measured=${measured[chosen]}
        marks=${insights?.marks ?? NO_MARKS}
      />
    </div>
  `;
}

/** What the chart needs of an event: mostly the same in the next answer. @param {Dashboard} dashboard @returns {import("../event-phase.js").EventDates} */
const datesOf = ({ status, startDate = null, endDate = null }) => ({ status, startDate, endDate });

/** The same list for each rendering, so that the chart is not drawn again. @type {import("../api-types.js").Mark[]} */
const NO_MARKS = [];

/** @param {{ dashboard: Dashboard }} props */
function RoiMetric({ dashboard }) {
  const t = texts.value;
  const { roi, provenance } = dashboard;
  const current = roi.currentRoi;
  const basis = revenueBasis(roi.revenue, provenance);
  return html`
    <${MetricTile}
      class="hero roi-tile"
      name=${t.tile.roi}
      dashboard=${dashboard}
      path="roi.currentRoi"
      figure=${current}
      missingReason=${missingRoiReason(roi)}
      note=${isMissing(current) ? null : roiNote(dashboard, current)}
    >
      <${RoiText} roi=${current} basis=${basis} />
    <//>
  `;
}

/** What an ROI means: a recorded one against the target, an expected one only as expected. @param {Dashboard} dashboard @param {number} current */
function roiNote({ roi, provenance, ...event }, current) {
  const t = texts.value.event;
  const over = isOver(event, now.value);
  const target = roi.targetRoi;
  if (revenueBasis(roi.revenue, provenance) === "expected") return over ? t.noSalesRecorded : targetText(target);
  if (isMissing(target)) return t.noTarget;
  if (current >= target) return t.targetMet(formatPercent(target));
  return (over ? t.targetMissed : t.targetRemaining)(formatPercent(target), formatCount(target - current, 2));
}

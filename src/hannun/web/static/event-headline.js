/** The answer in one or two sentences: how many came, and whether it pays. For an answer without a headline of its own. */
import { isOver, phaseOf } from "./event-phase.js";
import { formatCount, formatDateWithTime, formatMoneyShort } from "./format.js";
import { isMissing } from "./provenance.js";
import { now, texts } from "./state.js";
import { revenueBasis } from "./components/roi.js";

/** @typedef {import("./api-types.js").Dashboard} Dashboard */

/** @param {Dashboard} dashboard */
export function headlineText(dashboard) {
  return [participantsSentence(dashboard), moneySentence(dashboard)].filter(Boolean).join(" ");
}

/** @param {Dashboard} dashboard */
function participantsSentence(dashboard) {
  const t = texts.value.event;
  const phase = phaseOf(dashboard, now.value);
  const participants = dashboard.summary.totalParticipants;
  if (phase === "upcoming" && dashboard.startDate) {
    const starts = t.headlineUpcoming(formatDateWithTime(dashboard.startDate));
    return participants ? `${starts} ${t.headlineActive(formatCount(participants))}` : starts;
  }
  const over = isOver(dashboard, now.value);
  if (participants) return (over ? t.headlineEnded : t.headlineActive)(formatCount(participants));
  return over ? t.headlineEndedEmpty : t.headlineActiveEmpty;
}

/** What was earned. Expected revenue is only mentioned while the event runs, because afterwards none is to come. @param {Dashboard} dashboard */
function moneySentence(dashboard) {
  const t = texts.value.event;
  const { roi, summary, provenance } = dashboard;
  const invested = roi.investment.total;
  const earned = roi.revenue.total;
  if (!summary.totalParticipants || !invested || isMissing(earned)) return null;
  const expected = revenueBasis(roi.revenue, provenance) !== "recorded";
  if (expected && isOver(dashboard, now.value)) return t.headlineNoSales;
  if (expected && phaseOf(dashboard, now.value) === "upcoming") return null;
  const profit = earned - invested;
  const size = formatMoneyShort(Math.abs(Math.round(profit)));
  if (profit === 0) return expected ? t.headlineBreakEvenExpected : t.headlineBreakEven;
  if (profit > 0) return (expected ? t.headlineGainExpected : t.headlineGain)(size);
  if (expected) return t.headlineLossExpected(size);
  return (isOver(dashboard, now.value) ? t.headlineLossEnded : t.headlineLoss)(size);
}

/**
 * What the chart of an event shows: its range, its buckets and its metric, all in the URL, and the URLs of its timelines.
 *
 *     2h, 48h, 7d, 30d   the time up to now, or as many ranges earlier as the offset says (-1: the one before)
 *     event              the days from the start of the plan to its end, or to now if the event has not ended
 *     all                everything so far
 */
import { isOver, phaseOf } from "./event-phase.js";
import { formatMonthDay, formatTime } from "./format.js";
import { formatterOf } from "./formatters.js";
import { now, route, texts, timeZone } from "./state.js";

/** @typedef {"2h" | "48h" | "7d" | "30d" | "event" | "all"} View */
/** @typedef {"minute" | "hourly" | "daily" | "weekly" | "monthly"} Granularity */
/** @typedef {"participants" | "views" | "participationRate" | "conversions"} Metric */
/** @typedef {import("./event-phase.js").EventDates} EventDates */
/** Which timeline the chart shows. @typedef {{ view: View, granularity: Granularity, offset: number, compare: boolean, tz: string }} RequestedChart */
/** A half-open range as the service takes it: instants, or dates in the time zone of the chart. "" is no bound. @typedef {{ startDate: string, endDate: string }} Range */

const VIEWS = /** @type {const} */ (["2h", "48h", "7d", "30d", "event", "all"]);
const GRANULARITIES = /** @type {const} */ (["minute", "hourly", "daily", "weekly", "monthly"]);
/** The metrics that have a figure for each bucket. */
export const METRICS = /** @type {const} */ (["participants", "views", "participationRate", "conversions"]);

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** No event is older: a range before it is an error of the URL. */
const EARLIEST_DATE = "2015-01-01";

/**
 * The ranges of a fixed length, with the buckets that make sense in them; the first ones are shown first.
 * @type {Partial<Record<View, { ms: number, granularities: Granularity[] }>>}
 */
const FIXED = {
  "2h": { ms: 2 * HOUR_MS, granularities: ["minute"] },
  "48h": { ms: 2 * DAY_MS, granularities: ["hourly"] },
  "7d": { ms: 7 * DAY_MS, granularities: ["daily", "hourly"] },
  "30d": { ms: 30 * DAY_MS, granularities: ["daily", "hourly", "weekly"] },
};

/** How many days a range must have, at least and at most, for buckets to make sense in it. @type {[Granularity, number, number][]} */
const DAYS_OF_BUCKETS = [
  ["minute", 0, 1],
  ["hourly", 0, 90],
  ["daily", 2, Infinity],
  ["weekly", 15, Infinity],
  ["monthly", 61, Infinity],
];
/** Up to so many days a range is shown by its hours, as the service does by default. */
const HOURLY_DAYS_MAX = 7;

/** The ranges to choose from. After an event the time up to now is empty. @param {EventDates} event @param {View} requested @returns {View[]} */
export function offeredViews(event, requested) {
  const phase = phaseOf(event, now.value);
  /** @type {View[]} */
  const offered = isOver(event, now.value) ? ["event", "all"] : phase === "overdue" ? ["48h", "event", "all"] : ["2h", "48h", "7d", "30d", "all"];
  return VIEWS.filter((view) => view === requested || offered.includes(view));
}

/** The range of an event without one in the URL: one in which something can have happened. @param {EventDates} event @returns {View} */
export function defaultView(event) {
  const phase = phaseOf(event, now.value);
  if (phase === "running") return "48h";
  return phase === "upcoming" ? "all" : "event";
}

/** The buckets to choose from in a range. @param {View} view @param {EventDates} event @returns {Granularity[]} */
export function offeredGranularities(view, event) {
  const fixed = FIXED[view];
  if (fixed) return GRANULARITIES.filter((granularity) => fixed.granularities.includes(granularity));
  const days = daysIn(view, event, now.value);
  if (days === null) return ["daily", "weekly", "monthly"];
  return DAYS_OF_BUCKETS.flatMap(([granularity, least, most]) => (days >= least && days <= most ? [granularity] : []));
}

/** The buckets of a range without any in the URL. @param {View} view @param {EventDates} event @returns {Granularity} */
export function defaultGranularity(view, event) {
  const days = daysIn(view, event, now.value);
  return FIXED[view]?.granularities[0] ?? (days !== null && days <= HOURLY_DAYS_MAX ? "hourly" : "daily");
}

/** The days of a range that depends on the event; null where its start is not known. @param {View} view @param {EventDates} event @param {number} nowMs */
function daysIn(view, event, nowMs) {
  const { startDate, endDate } = daysOf(event, timeZone.value, nowMs);
  if (!startDate) return null;
  const end = (view === "event" && endDate) || dateAfter(dateOf(nowMs, timeZone.value), 1);
  return Math.round((Date.parse(end) - Date.parse(startDate)) / DAY_MS);
}

/** What the URL requests, with a default for what it does not say or what makes no sense. @param {EventDates} event @returns {RequestedChart} */
export function requestedChart(event) {
  const query = route.value.query;
  const view = VIEWS.find((name) => name === query.get("view")) ?? defaultView(event);
  const granularity = offeredGranularities(view, event).find((name) => name === query.get("granularity")) ?? defaultGranularity(view, event);
  const chart = { view, granularity, offset: 0, compare: false, tz: timeZone.value };
  const offset = Number(query.get("offset"));
  if (FIXED[view] && offset < 0 && offset >= -10_000 && Number.isInteger(offset)) chart.offset = offset;
  if (rangeOf(chart, event, now.value).startDate < EARLIEST_DATE) chart.offset = 0;
  return { ...chart, compare: query.get("compare") === "1" && isComparable(chart) };
}

/** The metric in the URL. @returns {Metric} */
export const requestedMetric = () => METRICS.find((metric) => metric === route.value.query.get("metric")) ?? "participants";

/** Whether a range has one before it with buckets of the same lengths: a week or a month is cut differently in each. @param {Pick<RequestedChart, "view" | "granularity">} chart */
export const isComparable = ({ view, granularity }) => Boolean(FIXED[view]) && granularity !== "weekly" && granularity !== "monthly";

/** The range of a chart; without an end it goes up to now. @param {RequestedChart} chart @param {EventDates} event @param {number} nowMs @returns {Range} */
export function rangeOf({ view, offset, tz }, event, nowMs) {
  if (view === "all") return { startDate: "", endDate: "" };
  // Whole days hold whole buckets of hours and of days.
  if (view === "event") return daysOf(event, tz, nowMs);
  const { ms } = /** @type {{ ms: number }} */ (FIXED[view]);
  if (ms > 2 * DAY_MS) {
    const days = ms / DAY_MS;
    const startDate = dateAfter(dateOf(nowMs, tz), 1 - days + days * offset);
    return { startDate, endDate: offset < 0 ? dateAfter(startDate, days) : "" };
  }
  const newestMs = view === "2h" ? startOfMinute(nowMs - ms + MINUTE_MS) : startOfHour(nowMs - ms + HOUR_MS, tz);
  const startMs = newestMs + ms * offset;
  return { startDate: instantOf(startMs), endDate: offset < 0 ? instantOf(startMs + ms) : "" };
}

/** The range before the one of a chart, or as much of it as has elapsed of that of the chart. @param {RequestedChart} chart @param {EventDates} event @param {number} nowMs @returns {Range} */
function rangeBefore(chart, event, nowMs) {
  const before = rangeOf({ ...chart, offset: chart.offset - 1 }, event, nowMs);
  if (chart.offset < 0) return before;
  return { ...before, endDate: instantOf(startOfMinute(nowMs - (FIXED[chart.view]?.ms ?? 0))) };
}

/** Whether there may be something before the range of a chart. @param {RequestedChart} chart @param {EventDates} event @param {import("./api-types.js").Timeline | null} timeline of the chart */
export function canMoveBack(chart, event, timeline) {
  if (!FIXED[chart.view]) return false;
  const { startDate } = rangeOf(chart, event, now.value);
  if (event.startDate && Date.parse(event.startDate) < Date.parse(startDate)) return true;
  const first = timeline?.dataPoints[0];
  return first ? (first.cumulativeParticipants ?? 0) > (first.participants ?? 0) : false;
}

/** @param {string} base of the event's URLs @param {RequestedChart} chart @param {EventDates} event */
export const timelineUrl = (base, chart, event) => urlOf(base, chart, rangeOf(chart, event, Date.now()));

/** The URL of the timeline that the chart is compared with. @param {string} base @param {RequestedChart} chart @param {EventDates} event */
export const comparedTimelineUrl = (base, chart, event) => urlOf(base, chart, rangeBefore(chart, event, Date.now()));

/** @param {string} base @param {RequestedChart} chart @param {Range} range */
function urlOf(base, { granularity, tz }, range) {
  const query = new URLSearchParams({ tz, granularity });
  for (const [name, bound] of Object.entries(range)) if (bound) query.set(name, bound);
  return `${base}/analytics/timeline?${query}`;
}

/** The URL of the figures of today so far, which the service compares with yesterday up to the same time. @param {string} base */
export function todayUrl(base) {
  const tz = timeZone.value;
  const today = dateOf(Date.now(), tz);
  return `${base}/analytics?${new URLSearchParams({ tz, startDate: today, endDate: dateAfter(today, 1) })}`;
}

/** The range of a chart in a few characters: "11/26 – now". @param {RequestedChart} chart @param {EventDates} event */
export function rangeText(chart, event) {
  const t = texts.value.chart;
  const { startDate, endDate } = rangeOf(chart, event, now.value);
  if (!startDate) return t.fromTheBeginning;
  return `${boundText(chart, startDate)} – ${endDate ? lastText(chart, endDate) : t.now}`;
}

/** The range that a chart is compared with. @param {RequestedChart} chart @param {EventDates} event */
export function rangeBeforeText(chart, event) {
  const { startDate, endDate } = rangeBefore(chart, event, now.value);
  return `${boundText(chart, startDate)} – ${lastText(chart, endDate)}`;
}

/** @param {RequestedChart} chart @param {string} bound */
function boundText({ view }, bound) {
  if (isDate(bound)) return dateText(bound);
  return view === "2h" ? formatTime(bound) : formatMonthDay(bound);
}

/** The last moment before the end of a range. @param {RequestedChart} chart @param {string} end */
function lastText(chart, end) {
  if (isDate(end)) return dateText(dateAfter(end, -1));
  return boundText(chart, chart.view === "2h" ? end : instantOf(Date.parse(end) - MINUTE_MS));
}

/** @param {string} bound */
const isDate = (bound) => bound.length === EARLIEST_DATE.length;

/** 11/23 of 2026-11-23. @param {string} date */
const dateText = (date) => date.split("-").slice(1).map(Number).join("/");

/** The days of an event: half open. No end means up to now. @param {EventDates} event @param {string} tz @param {number} nowMs @returns {Range} */
function daysOf(event, tz, nowMs) {
  const today = dateOf(nowMs, tz);
  const startDate = event.startDate ? dateOf(Date.parse(event.startDate), tz) : "";
  // The last day is the one in which the last millisecond before the end lies.
  const endDate = event.endDate && isOver(event, nowMs) ? dateAfter(dateOf(Date.parse(event.endDate) - 1, tz), 1) : "";
  // An event may be ended before its plan starts, and a plan may end before it starts: such a range would be empty.
  return { startDate: startDate <= today ? startDate : "", endDate: startDate < endDate && endDate <= today ? endDate : "" };
}

/** The date of an instant in a time zone, as 2026-11-23: the service takes its midnight. The locale "sv" has that form. @param {number} ms @param {string} tz */
const dateOf = (ms, tz) => formatterOf(Intl.DateTimeFormat, "sv", { timeZone: tz }).format(ms);

/** The date some days after another. @param {string} date @param {number} days */
const dateAfter = (date, days) => new Date(Date.parse(date) + days * DAY_MS).toISOString().slice(0, 10);

/** @param {number} ms */
const startOfMinute = (ms) => Math.floor(ms / MINUTE_MS) * MINUTE_MS;

/** The start of the hour of a time zone, which is not one of UTC everywhere. @param {number} ms @param {string} tz */
function startOfHour(ms, tz) {
  const minute = Number(formatterOf(Intl.DateTimeFormat, "en", { timeZone: tz, minute: "numeric" }).format(ms));
  return startOfMinute(ms) - minute * MINUTE_MS;
}

/** @param {number} ms a whole minute */
const instantOf = (ms) => new Date(ms).toISOString().replace(".000Z", "Z");

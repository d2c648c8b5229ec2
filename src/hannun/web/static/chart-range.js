/**
 * The time ranges of the chart of an event: which ones are offered, which one is shown first, and the URL of its timeline.
 *
 *     2h, 48h, 30d   the time up to now
 *     event          the days from the start of the plan to its end, or to now if the event has not ended
 *     all            everything so far
 */
import { isOver, phaseOf } from "./event-phase.js";
import { now, route, timeZone } from "./state.js";

/** @typedef {"2h" | "48h" | "30d" | "event" | "all"} View */
/** @typedef {import("./event-phase.js").EventDates} EventDates */
/** What decides which timeline the chart shows. @typedef {{ view: View, tz: string }} RequestedChart */

const VIEWS = /** @type {const} */ (["2h", "48h", "30d", "event", "all"]);

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** The ranges to choose from. After an event the time up to now is empty. @param {EventDates} event @param {View} requested @returns {View[]} */
export function offeredViews(event, requested) {
  const phase = phaseOf(event, now.value);
  /** @type {View[]} */
  const offered = isOver(event, now.value) ? ["event", "all"] : phase === "overdue" ? ["48h", "event", "all"] : ["2h", "48h", "30d", "all"];
  return VIEWS.filter((view) => view === requested || offered.includes(view));
}

/** The range of an event without one in the URL: one in which something can have happened. @param {EventDates} event @returns {View} */
export function defaultView(event) {
  const phase = phaseOf(event, now.value);
  if (phase === "running") return "48h";
  return phase === "upcoming" ? "all" : "event";
}

/** The range in the URL, else the default one, and the time zone of its buckets. @param {EventDates} event @returns {RequestedChart} */
export function requestedChart(event) {
  const requested = route.value.query.get("view");
  return { view: VIEWS.find((view) => view === requested) ?? defaultView(event), tz: timeZone.value };
}

/** @param {string} base of the event's URLs @param {RequestedChart} chart @param {EventDates} event */
export function timelineUrl(base, { view, tz }, event) {
  const nowMs = Date.now();
  const query = new URLSearchParams({ tz });
  if (view === "2h") {
    query.set("granularity", "minute");
    query.set("startDate", instantOf(startOfMinute(nowMs - 2 * HOUR_MS + MINUTE_MS)));
  } else if (view === "48h") {
    query.set("granularity", "hourly");
    query.set("startDate", instantOf(startOfHour(nowMs - 2 * DAY_MS + HOUR_MS, tz)));
  } else if (view === "event") {
    // Without a granularity: the service takes hours for a week, else days. Whole days hold whole buckets of both.
    for (const [name, date] of Object.entries(daysOf(event, tz, nowMs))) if (date) query.set(name, date);
  } else {
    query.set("granularity", "daily");
    if (view === "30d") query.set("startDate", dateOf(nowMs - 29 * DAY_MS, tz));
  }
  return `${base}/analytics/timeline?${query}`;
}

/** The days of an event, as the service takes a range: half open. No end means up to now. @param {EventDates} event @param {string} tz @param {number} nowMs */
function daysOf(event, tz, nowMs) {
  const today = dateOf(nowMs, tz);
  const startDate = event.startDate ? dateOf(Date.parse(event.startDate), tz) : "";
  // The last day is the one in which the last millisecond before the end lies.
  const endDate = event.endDate && isOver(event, nowMs) ? dayAfter(dateOf(Date.parse(event.endDate) - 1, tz)) : "";
  // An event may be ended before its plan starts, and a plan may end before it starts: such a range would be empty.
  return { startDate: startDate <= today ? startDate : "", endDate: startDate < endDate && endDate <= today ? endDate : "" };
}

/** The date of an instant in a time zone, as 2026-11-23: the service takes its midnight. The locale "sv" has that form. @param {number} ms @param {string} tz */
const dateOf = (ms, tz) => new Intl.DateTimeFormat("sv", { timeZone: tz }).format(ms);

/** @param {string} date */
const dayAfter = (date) => new Date(Date.parse(date) + DAY_MS).toISOString().slice(0, 10);

/** @param {number} ms */
const startOfMinute = (ms) => Math.floor(ms / MINUTE_MS) * MINUTE_MS;

/** The start of the hour of a time zone, which is not one of UTC everywhere. @param {number} ms @param {string} tz */
function startOfHour(ms, tz) {
  const minute = Number(new Intl.DateTimeFormat("en", { timeZone: tz, minute: "numeric" }).format(ms));
  return startOfMinute(ms) - minute * MINUTE_MS;
}

/** @param {number} ms a whole minute */
const instantOf = (ms) => new Date(ms).toISOString().replace(".000Z", "Z");

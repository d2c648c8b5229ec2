/**
 * Where an event is between its start and its end. The status in an answer is ACTIVE from the creation of the event on,
 * so that the dates of its plan decide whether it runs.
 *
 *     upcoming ──start──▶ running ──planned end──▶ overdue
 *         └──────────────────┴──── status ENDED ────────┴──▶ ended
 */
import { formatDate, formatDateWithYear, formatTime, formatYear } from "./format.js";
import { texts } from "./state.js";

/** @typedef {"upcoming" | "running" | "overdue" | "ended" | "archived"} Phase */
/** @typedef {{ status: string, startDate?: string | null, endDate?: string | null }} EventDates */

/** @param {EventDates} event @param {number} nowMs @returns {Phase} */
export function phaseOf({ status, startDate, endDate }, nowMs) {
  if (status === "ARCHIVED") return "archived";
  if (status !== "ACTIVE") return "ended";
  if (startDate && Date.parse(startDate) > nowMs) return "upcoming";
  return endDate && Date.parse(endDate) <= nowMs ? "overdue" : "running";
}

/** @param {EventDates} event @param {number} nowMs */
export const isOver = (event, nowMs) => ["ended", "archived"].includes(phaseOf(event, nowMs));

/** Whether the event has started and has not been ended. @param {EventDates} event @param {number} nowMs */
export const isOngoing = (event, nowMs) => ["running", "overdue"].includes(phaseOf(event, nowMs));

/** The dates of the plan in words; null without any. @param {EventDates} event @param {number} nowMs */
export function datesText(event, nowMs) {
  const t = texts.value.dates;
  const over = isOver(event, nowMs);
  const start = event.startDate ? formatDateWithYear(event.startDate) : "";
  // An event that was ended before its planned end did not run until then.
  const end = event.endDate && !(over && Date.parse(event.endDate) > nowMs) ? endText(event) : "";
  if (end) return over ? t.both(start, end) : t.plannedEnd(start, end);
  if (!start) return null;
  return over ? t.started(start) : (phaseOf(event, nowMs) === "upcoming" ? t.startsWithoutEnd : t.startedWithoutEnd)(start);
}

/** The planned end with its time of day; without the year if it is the year of the start. @param {EventDates} event */
function endText({ startDate, endDate }) {
  const end = /** @type {string} */ (endDate);
  const date = startDate && formatYear(startDate) === formatYear(end) ? formatDate(end) : formatDateWithYear(end);
  return `${date} ${formatTime(end)}`;
}

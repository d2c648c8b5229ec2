/** One event in its merchant's list: title, state, participants and how today compares, the last 24 hours, ROI and target. */
import { html } from "../html.js";
import { dayChange } from "../event-list.js";
import { isOngoing, phaseOf } from "../event-phase.js";
import { formatChange, formatCount, formatDate, formatDateWithYear, formatYear } from "../format.js";
import { isMissing } from "../provenance.js";
import { hrefFor, now, texts } from "../state.js";
import { isOnScale, roiTrack, sparkline } from "./bars.js";
import { AnimatedNumber, Unit } from "./number.js";
import { RoiText, targetText } from "./roi.js";

/** @typedef {import("../api-types.js").EventSummary} EventSummary */

/**
 * All parts stand in one grid and are made by one component: while the list is scrolled, cards are made in each frame. A text
 * for screen readers is the label of an element that is there anyway: a hidden, clipped text is a layer of its own to paint.
 * @param {{ event: EventSummary, live: boolean, dayOver: boolean }} props `dayOver`: the answer is of an earlier day
 */
export function EventCard({ event, live, dayOver }) {
  const t = texts.value;
  const recent = event.sparkline ?? [];
  // Before and after an event nobody is expected to join, so that only those who do are worth the space.
  const ongoing = isOngoing(event, now.value);
  const hourly = ongoing || recent.some(Boolean) ? recent : [];
  const days = { today: event.participantsToday, yesterday: event.participantsYesterday };
  return html`
    <a class="card event-card" href=${hrefFor(`/events/${encodeURIComponent(event.eventId)}`)}>
      <span class="event-title">${event.eventTitle}</span>
      ${eventState(event, live && ongoing)}
      <span class="sr-only">${t.tile.participants}</span>
      <span class="value">
        ${isMissing(event.totalParticipants) ? t.none : html`<${AnimatedNumber} value=${event.totalParticipants} format=${formatCount} /><${Unit} unit=${t.participantsUnit} />`}
      </span>
      ${!dayOver && (ongoing || Boolean(days.today)) && html`<span class="note event-today">${todayText(days)}</span>`}
      ${hourly.length > 0 && html`<span class="event-hours">${sparkline(hourly)}${t.eventList.lastHours}</span>`}
      ${roiParts(event)}
    </a>
  `;
}

/** Whether the event runs, until when, and whether its figures are live. @param {EventSummary} event @param {boolean} live */
function eventState(event, live) {
  const phase = phaseOf(event, now.value);
  const t = texts.value;
  const when = stateTime(event, phase);
  const dot = live ? html`<span class="event-dot filled" role="img" aria-label=${t.live.live}></span>` : html`<span class="event-dot"></span>`;
  return html`<span class="event-state status-text-${phase}">${dot} ${t.phase[phase]}${when && ` · ${when}`}</span>`;
}

/** @param {EventSummary} event @param {import("../event-phase.js").Phase} phase */
function stateTime({ startDate, endDate }, phase) {
  const t = texts.value.eventList;
  if (phase === "upcoming") return startDate ? t.from(shortDate(startDate)) : "";
  if (phase === "running") return endDate ? t.until(shortDate(endDate)) : t.endOpen;
  if (phase === "overdue") return endDate ? shortDate(endDate) : "";
  const ended = endDate && Date.parse(endDate) <= now.value ? endDate : null;
  return [startDate && shortDate(startDate), ended && shortDate(ended)].filter(Boolean).join(" – ");
}

/** Without the year if it is this one. @param {string} instant */
const shortDate = (instant) => (formatYear(instant) === formatYear(now.value) ? formatDate(instant) : formatDateWithYear(instant));

/**
 * The participants of today, beside those of yesterday up to the same time.
 * @param {{ today: import("../api-types.js").Figure, yesterday: import("../api-types.js").Figure }} days
 */
export function todayText({ today, yesterday }) {
  const t = texts.value.eventList;
  if (isMissing(today)) return t.todayNotKept;
  const change = dayChange({ today, yesterday });
  const count = today === 0 ? t.noneToday : t.today(formatCount(today));
  if (!change || (change.difference === 0 && today === 0)) return count;
  const { difference, percent } = change;
  if (difference === 0) return `${count} · ${t.asYesterday}`;
  const size = percent === null ? t.people(formatCount(Math.abs(difference))) : formatChange(percent);
  const direction = difference > 0 ? "up" : "down";
  return html`${count}${" "}<span class="day-change ${direction}" role="img" aria-label=${t.change[direction](size)}>${t.compared} ${difference > 0 ? "▲" : "▼"} ${size}</span>`;
}

/** @param {EventSummary} event */
function roiParts(event) {
  const t = texts.value;
  const current = event.currentRoi;
  const target = event.targetRoi;
  const basis = isMissing(event.recordedRevenue) ? "expected" : "recorded";
  if (isMissing(current)) return html`<span class="note event-roi missing">${t.tile.roi} ${t.none} · ${t.missingReason.roiInList}</span>`;
  return html`
    <span class="event-roi">${t.tile.roi} <${RoiText} roi=${current} basis=${basis} /></span>
    ${!isMissing(target) && html`<span class="note event-target ${isOnScale(target) ? "on-scale" : ""}">${targetText(target)}</span>`}
    ${roiTrack({ roi: current, target, expected: basis === "expected" })}
  `;
}

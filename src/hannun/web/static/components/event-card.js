/** One event in its merchant's list: title, state, participants and how today compares, the last 24 hours, ROI and target. */
import { html } from "../html.js";
import { dayChange } from "../event-list.js";
import { isOngoing, phaseOf } from "../event-phase.js";
import { formatChange, formatCount, formatDate, formatDateWithYear, formatYear } from "../format.js";
import { isMissing } from "../provenance.js";
import { hrefFor, now, texts } from "../state.js";
import { isOnScale, RoiBar, Sparkline } from "./bars.js";
import { AnimatedNumber } from "./number.js";
import { RoiText, targetText } from "./roi.js";

/** @typedef {import("../api-types.js").EventSummary} EventSummary */

/** @param {{ event: EventSummary, live: boolean, dayOver: boolean }} props `dayOver`: the answer is of an earlier day */
export function EventCard({ event, live, dayOver }) {
  const t = texts.value;
  const recent = event.sparkline ?? [];
  // Before and after an event nobody is expected to join, so that only those who do are worth the space.
  const ongoing = isOngoing(event, now.value);
  const hourly = ongoing || recent.some(Boolean) ? recent : [];
  const days = { today: event.participantsToday, yesterday: event.participantsYesterday };
  return html`
    <a class="card event-card" href=${hrefFor(`/events/${encodeURIComponent(event.eventId)}`)}>
      <span class="event-head">
        <span class="event-title">${event.eventTitle}</span>
        <${EventState} event=${event} live=${live && ongoing} />
      </span>
      <span class="event-body">
        <span class="event-participants">
          <span class="sr-only">${t.tile.participants}</span>
          <span class="value">
            ${isMissing(event.totalParticipants)
              ? t.none
              : html`<${AnimatedNumber} value=${event.totalParticipants} format=${formatCount} /><span class="unit">${t.participantsUnit("")}</span>`}
          </span>
          ${!dayOver && (ongoing || Boolean(days.today)) && html`<span class="note"><${Today} ...${days} /></span>`}
        </span>
        ${hourly.length > 0 && html`<span class="event-hours"><${Sparkline} points=${hourly} /><span class="spark-name">${t.eventList.lastHours}</span></span>`}
      </span>
      <span class="event-roi"><${CardRoi} event=${event} /></span>
    </a>
  `;
}

/** Whether the event runs, until when, and whether its figures are live. @param {{ event: EventSummary, live: boolean }} props */
function EventState({ event, live }) {
  const phase = phaseOf(event, now.value);
  const t = texts.value;
  const when = stateTime(event, phase);
  return html`
    <span class="event-state status-text-${phase}">
      <span class="event-dot ${live ? "filled" : ""}" aria-hidden="true"></span>
      <span>${t.phase[phase]}${when && ` · ${when}`}${live && html`<span class="sr-only">, ${t.live.live}</span>`}</span>
    </span>
  `;
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
export function Today({ today, yesterday }) {
  const t = texts.value.eventList;
  if (isMissing(today)) return html`${t.todayNotKept}`;
  const change = dayChange({ today, yesterday });
  const count = today === 0 ? t.noneToday : t.today(formatCount(today));
  if (!change || (change.difference === 0 && today === 0)) return html`${count}`;
  const { difference, percent } = change;
  if (difference === 0) return html`${count} · ${t.asYesterday}`;
  const size = percent === null ? t.people(formatCount(Math.abs(difference))) : formatChange(percent);
  const direction = difference > 0 ? "up" : "down";
  return html`${count}${" "}<span class="day-change ${direction}"><span class="sr-only">${t.change[direction](size)}</span><span aria-hidden="true">${t.compared} ${difference > 0 ? "▲" : "▼"} ${size}</span></span>`;
}

/** @param {{ event: EventSummary }} props */
function CardRoi({ event }) {
  const t = texts.value;
  const current = event.currentRoi;
  const basis = isMissing(event.recordedRevenue) ? "expected" : "recorded";
  if (isMissing(current)) return html`<span class="note">${t.tile.roi} ${t.none} · ${t.missingReason.roiInList}</span>`;
  return html`
    <span class="event-roi-line">
      <span>${t.tile.roi} <strong><${RoiText} roi=${current} basis=${basis} /></strong></span>
      ${!isMissing(event.targetRoi) && html`<span class="note">${isOnScale(event.targetRoi) && html`<span class="roi-key" aria-hidden="true"></span>`}${targetText(event.targetRoi)}</span>`}
    </span>
    <${RoiBar} roi=${current} target=${event.targetRoi} expected=${basis === "expected"} />
  `;
}

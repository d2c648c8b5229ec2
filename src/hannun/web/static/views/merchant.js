/** All events of a merchant: the totals, then a card for each event. */
import { signal } from "../vendor/signals.js";
import { useEffect, useMemo } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { cachedBody, getJson } from "../api.js";
import { datesText, isOngoing } from "../event-phase.js";
import { formatCount, formatMoney } from "../format.js";
import { useLiveQuery } from "../live-query.js";
import { hrefFor, lang, now, session, texts, timeZone } from "../state.js";
import { isOnScale, RoiBar, Sparkline } from "../components/bars.js";
import { EventStatus } from "../components/badge.js";
import { Export } from "../components/export.js";
import { LiveRegion } from "../components/live-region.js";
import { LiveStatus } from "../components/live-status.js";
import { AnimatedNumber } from "../components/number.js";
import { ProblemView } from "../components/problem.js";
import { isMissing, missingRoiReason, revenueBasis, RoiText, targetText } from "../components/roi.js";
import { Skeleton } from "../components/skeleton.js";
import { measuredOrNull, provenanceOf, Tile, Value } from "../components/tile.js";

/** @typedef {import("../api-types.js").MerchantAnalytics} MerchantAnalytics */

const PAGE_SIZE = 50;

/** @param {{ userId: string }} props */
export function MerchantView({ userId }) {
  const base = `/api/v1/users/${encodeURIComponent(userId)}`;
  const firstPage = `${base}/analytics?limit=${PAGE_SIZE}`;
  const pages = useMemo(() => signal(/** @type {MerchantAnalytics[]} */ ([cachedBody(firstPage)].filter(Boolean))), [base]);
  const pageCount = useMemo(() => signal(1), [base]);

  const load = async () => {
    /** @type {MerchantAnalytics[]} */
    const loaded = [];
    let url = firstPage;
    while (loaded.length < pageCount.peek()) {
      const page = /** @type {MerchantAnalytics} */ (await getJson(url));
      loaded.push(page);
      if (!page.nextCursor) break;
      url = `${firstPage}&cursor=${encodeURIComponent(page.nextCursor)}`;
    }
    pages.value = loaded;
  };
  const liveQuery = useLiveQuery(`${base}/live`, load);
  const loadMore = () => {
    pageCount.value += 1;
    liveQuery.refresh();
  };

  const t = texts.value;
  const own = session.value?.userId === userId;
  const title = own ? t.eventList.title : t.eventList.titleOf(userId);
  useEffect(() => {
    document.title = `${title} · ${t.name}`;
  }, [title, lang.value]);

  const problem = liveQuery.problem.value;
  const first = pages.value[0];
  if (problem && (!first || !problem.transient)) return html`<${ProblemView} problem=${problem} subject="user" retry=${() => liveQuery.refresh()} />`;
  if (!first) return html`<${Skeleton} tiles=${4} />`;

  const { summary, roi, totalEvents } = first;
  // Events may move between pages while the pages are loaded. Each event is shown once, at its first position.
  const events = [...new Map(pages.value.flatMap((page) => page.events.map((event) => [event.eventId, event]))).values()];
  // One scale for the sparklines of all cards.
  const busiestHour = Math.max(1, ...events.flatMap((event) => (event.sparkline ?? []).map((value) => value ?? 0)));
  const nextCursor = pages.value[pages.value.length - 1]?.nextCursor;
  const views = measuredOrNull(summary.totalViews, first.provenance, "summary.totalViews");
  const tz = `?${new URLSearchParams({ tz: timeZone.value })}`;
  const parts = [
    { name: t.exportMenu.events, contents: t.exportMenu.eventsContents(formatCount(totalEvents)), url: `${base}/analytics${tz}` },
    { name: t.exportMenu.channels, url: `${base}/analytics/channels${tz}` },
  ];
  const headline = totalEvents ? t.eventList.headline(formatCount(totalEvents), formatCount(summary.totalParticipants ?? 0)) : t.eventList.empty;
  return html`
    <div class="page-head">
      <h1 tabindex="-1" class=${own ? "" : "long"}>${title}</h1>
      <p class="headline">${headline}</p>
      <${LiveStatus} liveQuery=${liveQuery} asOf=${first.lastUpdatedAt} />
      ${totalEvents > 0 && html`<${Export} parts=${parts} />`}
      <${LiveRegion} text=${headline} />
    </div>
    ${totalEvents > 0 &&
    html`
      <div class="summary-tiles">
        <${Tile} name=${t.tile.participants} definition=${t.definitions.participants}>
          <${Value} figure=${summary.totalParticipants} missingReason=${t.missingReason.participants}><${AnimatedNumber} value=${summary.totalParticipants} format=${formatCount} /><//>
        <//>
        <${Tile} name=${t.tile.views} definition=${t.definitions.views} provenance=${provenanceOf(views, first.provenance, "summary.totalViews")}>
          <${Value} figure=${views} missingReason=${t.missingReason.views}><${AnimatedNumber} value=${views} format=${formatCount} /><//>
        <//>
        ${roi && html`<${RoiTotalTile} roi=${roi} provenance=${first.provenance} />`}
      </div>
      <ul class="events">
        ${events.map((event) => html`<${EventCard} key=${event.eventId} event=${event} busiestHour=${busiestHour} />`)}
      </ul>
      ${nextCursor && html`<p class="more"><button type="button" class="button" onClick=${loadMore}>${t.more}</button></p>`}
    `}
  `;
}

/** The ROI of all events together. @param {{ roi: import("../api-types.js").Roi, provenance: import("../api-types.js").Provenance | undefined }} props */
function RoiTotalTile({ roi, provenance }) {
  const t = texts.value;
  const basis = revenueBasis(roi.revenue, provenance);
  const note = { recorded: null, mixed: t.event.revenueMixed, expected: t.event.revenueExpected }[basis];
  return html`
    <${Tile}
      name=${t.tile.roi}
      definition=${t.definitions.roi}
      provenance=${provenanceOf(roi.currentRoi, provenance, "roi.currentRoi")}
      full=${roi.investment.total ? `${t.tile.investment} ${formatMoney(roi.investment.total)}` : undefined}
    >
      <${Value} figure=${roi.currentRoi} missingReason=${missingRoiReason(roi)} note=${note}><${RoiText} roi=${roi.currentRoi} basis=${basis} /><//>
    <//>
  `;
}

/** @param {{ event: import("../api-types.js").EventSummary, busiestHour: number }} props */
function EventCard({ event, busiestHour }) {
  const t = texts.value;
  const recent = event.sparkline ?? [];
  // Before and after an event nobody is expected to join, so that only those who do are worth the space.
  const hourly = isOngoing(event, now.value) || recent.some(Boolean) ? recent : [];
  const lastDay = hourly.includes(null) ? null : hourly.reduce((/** @type {number} */ sum, value) => sum + (value ?? 0), 0);
  const dates = datesText(event, now.value);
  return html`
    <li>
      <a class="card event-card" href=${hrefFor(`/events/${encodeURIComponent(event.eventId)}`)}>
        <span class="event-head">
          <span class="event-title">${event.eventTitle}</span>
          <${EventStatus} event=${event} />
        </span>
        ${dates && html`<span class="note">${dates}</span>`}
        <span class="event-body">
          <span class="event-participants">
            <span class="sr-only">${t.tile.participants}</span>
            <span class="value">
              ${event.totalParticipants === null || event.totalParticipants === undefined
                ? t.none
                : html`<${AnimatedNumber} value=${event.totalParticipants} format=${formatCount} /><span class="unit">${t.participantsUnit("")}</span>`}
            </span>
            ${hourly.length > 0 && html`<span class="note">${lastDay === null ? t.eventList.lastDayNotKept : lastDay ? t.eventList.lastDay(formatCount(lastDay)) : t.eventList.noneLastDay}</span>`}
          </span>
          ${hourly.length > 0 && html`<${Sparkline} points=${hourly} high=${busiestHour} />`}
        </span>
        <span class="event-roi"><${CardRoi} event=${event} /></span>
      </a>
    </li>
  `;
}

/** @param {{ event: import("../api-types.js").EventSummary }} props */
function CardRoi({ event }) {
  const t = texts.value;
  const current = event.currentRoi;
  const basis = isMissing(event.recordedRevenue) ? "expected" : "recorded";
  if (isMissing(current)) return html`<span class="note">ROI ${t.none} · ${t.missingReason.roiInList}</span>`;
  return html`
    <span class="event-roi-line">
      <span>ROI <strong><${RoiText} roi=${current} basis=${basis} /></strong></span>
      ${!isMissing(event.targetRoi) && html`<span class="note">${isOnScale(event.targetRoi) && html`<span class="roi-key" aria-hidden="true"></span>`}${targetText(event.targetRoi)}</span>`}
    </span>
    <${RoiBar} roi=${current} target=${event.targetRoi} expected=${basis === "expected"} />
  `;
}

/** All events of a merchant: the totals, then a card for each event, which can be searched, filtered and sorted. */
import { signal } from "../vendor/signals.js";
import { useEffect, useMemo, useRef } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { cachedBody, getJson } from "../api.js";
import { inShownOrder, selected, selectionIn } from "../event-list.js";
import { formatCount } from "../format.js";
import { useLiveQuery } from "../live-query.js";
import { isMissing, provenanceOf } from "../provenance.js";
import { hrefFor, lang, now, replaceRoute, route, session, texts, timeZone, ZONE_DEFAULT } from "../state.js";
import { EventCard, todayText } from "../components/event-card.js";
import { Export } from "../components/export.js";
import { Explained } from "../components/figure-sheet.js";
import { ListControls } from "../components/list-controls.js";
import { LiveRegion } from "../components/live-region.js";
import { LiveStatus } from "../components/live-status.js";
import { Logo } from "../components/logo.js";
import { AnimatedNumber, Money } from "../components/number.js";
import { ProblemView } from "../components/problem.js";
import { missingRoiReason, moneyMissingReason, revenueBasis, RoiText } from "../components/roi.js";
import { Skeleton } from "../components/skeleton.js";
import { Tile, Value } from "../components/tile.js";
import { WindowedList } from "../components/windowed-list.js";

/** @typedef {import("../api-types.js").MerchantAnalytics} MerchantAnalytics */
/** @typedef {import("../api-types.js").EventSummary} EventSummary */
/** @typedef {import("../api-types.js").Figure} Figure */

/** Events of each page after the first one, which is the answer that the service caches. */
const NEXT_PAGE_SIZE = 500;
/** So many events are loaded at once; those beyond them on request. */
const EVENTS_AT_ONCE = 2_000;

/** @param {{ userId: string }} props */
export function MerchantView({ userId }) {
  const base = `/api/v1/users/${encodeURIComponent(userId)}`;
  const zone = timeZone.value;
  const loader = useMemo(() => new EventsLoader(`${base}/analytics`, zone), [base, zone]);
  const liveQuery = useLiveQuery(`${base}/live`, () => loader.load(), `${base}/analytics`);
  const zoneShown = useRef(zone);
  useEffect(() => {
    if (zoneShown.current !== zone) liveQuery.refresh();
    zoneShown.current = zone;
  }, [zone]);

  const t = texts.value;
  const own = session.value?.userId === userId;
  const title = own ? t.eventList.title : t.eventList.titleOf(userId);
  useEffect(() => {
    document.title = `${title} · ${t.name}`;
  }, [title, lang.value]);

  const problem = liveQuery.problem.value;
  const [first] = loader.pages.value;
  if (problem && (!first || !problem.transient)) return html`<${ProblemView} problem=${problem} subject="user" retry=${() => liveQuery.refresh()} />`;
  if (!first) return html`<${Skeleton} tiles=${4} />`;

  const { summary, totalEvents } = first;
  const headline = totalEvents ? t.eventList.headline(formatCount(totalEvents), formatCount(summary.totalParticipants ?? 0)) : t.eventList.empty;
  return html`
    <div class="page-head list-head">
      <h1 tabindex="-1" class=${own ? "" : "long"}>${title}</h1>
      ${totalEvents > 0 && html`<p class="headline">${headline}</p>`}
      <${LiveStatus} liveQuery=${liveQuery} asOf=${first.lastUpdatedAt} />
      ${totalEvents > 0 && html`<${Export} parts=${exportParts(base, totalEvents)} />`}
      <${LiveRegion} text=${headline} />
    </div>
    ${totalEvents > 0 ? html`<${Totals} loader=${loader} /><${Events} loader=${loader} live=${liveQuery.state.value === "live" && !problem} />` : html`<${NoEvents} />`}
  `;
}

/** Loads the pages of a merchant's events. */
class EventsLoader {
  #more = 0;

  /** @param {string} url @param {string} zone */
  constructor(url, zone) {
    this.url = url;
    this.zone = zone;
    this.pages = signal(this.#cached());
  }

  /** @param {string | null} cursor */
  #pageUrl(cursor) {
    const query = new URLSearchParams();
    if (this.zone !== ZONE_DEFAULT) query.set("tz", this.zone);
    if (cursor) query.set("limit", String(NEXT_PAGE_SIZE));
    if (cursor) query.set("cursor", cursor);
    return this.url + (query.size ? `?${query}` : "");
  }

  /** The pages that an earlier view has loaded. @returns {MerchantAnalytics[]} */
  #cached() {
    const pages = [];
    for (let page = cachedBody(this.#pageUrl(null)); page; page = page.nextCursor ? cachedBody(this.#pageUrl(page.nextCursor)) : null) pages.push(page);
    return pages;
  }

  async load() {
    /** @type {MerchantAnalytics[]} */
    const loaded = [];
    let cursor = null;
    do {
      const page = /** @type {MerchantAnalytics} */ (await getJson(this.#pageUrl(cursor)));
      loaded.push(page);
      cursor = page.nextCursor;
      // The first time, each page is shown as it comes. Later, all change together.
      if (this.pages.peek().length < loaded.length) this.pages.value = [...loaded];
    } while (cursor && loaded.length <= EVENTS_AT_ONCE / NEXT_PAGE_SIZE + this.#more);
    this.pages.value = loaded;
  }

  loadMore() {
    this.#more += 1;
    return this.load();
  }

  /** Each event once, at its first place: events may move between pages while these are loaded. @returns {EventSummary[]} */
  get events() {
    return [...new Map(this.pages.value.flatMap((page) => page.events.map((event) => [event.eventId, event]))).values()];
  }

  /** The answer with the totals. */
  get first() {
    return /** @type {MerchantAnalytics} */ (this.pages.value[0]);
  }

  get isComplete() {
    return !this.pages.value.at(-1)?.nextCursor;
  }

  /** Whether the day has ended for which the events' participants of today are counted. */
  get isDayOver() {
    return this.pages.value.some((page) => !page.today?.endDate || Date.parse(page.today.endDate) <= now.value);
  }
}

/** @param {string} base @param {number} totalEvents */
function exportParts(base, totalEvents) {
  const t = texts.value.exportMenu;
  const tz = `?${new URLSearchParams({ tz: timeZone.value })}`;
  return [
    { name: t.events, contents: t.eventsContents(formatCount(totalEvents)), url: `${base}/analytics${tz}` },
    { name: t.channels, url: `${base}/analytics/channels${tz}` },
  ];
}

/** What all events together have brought. @param {{ loader: EventsLoader }} props */
function Totals({ loader }) {
  const t = texts.value;
  const { summary, roi, provenance } = loader.first;
  const { events } = loader;
  const sum = (/** @type {"participantsToday" | "participantsYesterday"} */ name) =>
    events.every((event) => !isMissing(event[name])) ? events.reduce((total, event) => total + /** @type {number} */ (event[name]), 0) : null;
  const days = { today: sum("participantsToday"), yesterday: sum("participantsYesterday") };
  const note = loader.isComplete && !loader.isDayOver ? html`<${Explained} path="comparisons.day.delta" dashboard=${comparisonOf(days, provenance)}>${todayText(days)}<//>` : null;
  return html`
    <div class="summary-tiles">
      <${Tile} name=${t.tile.participants} path="summary.totalParticipants" dashboard=${loader.first}>
        <${Value} figure=${summary.totalParticipants} missingReason=${t.missingReason.participants} note=${note}><${AnimatedNumber} value=${summary.totalParticipants} format=${formatCount} /><span class="unit">${t.participantsUnit("")}</span><//>
      <//>
      ${roi && html`<${RoiTotalTile} answer=${loader.first} roi=${roi} /><${MoneyTile} answer=${loader.first} roi=${roi} />`}
    </div>
  `;
}

/**
 * The participants of today beside those of yesterday, as an answer whose figures can be explained.
 * @param {{ today: Figure, yesterday: Figure }} days
 * @param {import("../api-types.js").Provenance | undefined} provenance
 */
function comparisonOf({ today, yesterday }, provenance) {
  const delta = isMissing(today) || !yesterday ? null : ((today - yesterday) / yesterday) * 100;
  const origin = provenanceOf(today, provenance, "events.participantsToday");
  return {
    comparisons: { day: { participants: today, previous: { participants: yesterday }, delta }, week: null },
    provenance: origin ? { comparisons: origin } : {},
  };
}

/** The ROI of all events together. @param {{ answer: MerchantAnalytics, roi: import("../api-types.js").Roi }} props */
function RoiTotalTile({ answer, roi }) {
  const { provenance } = answer;
  const t = texts.value;
  const basis = revenueBasis(roi.revenue, provenance);
  const note = { recorded: null, mixed: t.event.revenueMixed, expected: t.event.revenueExpected }[basis];
  return html`
    <${Tile} name=${t.eventList.roi} path="roi.currentRoi" dashboard=${answer} explanation=${t.eventList.roiOfSums} badgeInHead=${true} provenance=${provenanceOf(roi.currentRoi, provenance, "roi.currentRoi")}>
      <${Value} figure=${roi.currentRoi} missingReason=${missingRoiReason(roi)} note=${note}><${RoiText} roi=${roi.currentRoi} basis=${basis} /><//>
    <//>
  `;
}

/** What all events together have cost and brought in. @param {{ answer: MerchantAnalytics, roi: import("../api-types.js").Roi }} props */
function MoneyTile({ answer, roi }) {
  const t = texts.value;
  const basis = revenueBasis(roi.revenue, answer.provenance);
  const revenueName = { recorded: t.tile.revenue, mixed: t.tile.revenueMixed, expected: t.tile.revenueExpected }[basis];
  const amount = (/** @type {string} */ path, /** @type {import("../api-types.js").Figure} */ value) =>
    html`<${Explained} path=${path} dashboard=${answer}>${isMissing(value) ? t.none : html`<${Money} value=${value} />`}<//>`;
  return html`
    <${Tile} name=${t.tile.money} class="total-money">
      <dl class="total-amounts">
        <div><dt>${t.tile.investment}</dt><dd class="value">${amount("roi.investment.total", roi.investment.total)}</dd></div>
        <div><dt>${revenueName}</dt><dd class="value">${amount("roi.revenue.total", roi.revenue.total)}</dd></div>
      </dl>
      ${moneyMissingReason(roi) && html`<p class="note">${moneyMissingReason(roi)}</p>`}
    <//>
  `;
}

/** @param {{ loader: EventsLoader, live: boolean }} props */
function Events({ loader, live }) {
  const t = texts.value;
  const selection = selectionIn(route.value.query);
  const { events, isComplete, isDayOver } = loader;
  const shown = useShownEvents(events, selection);
  const { totalEvents } = loader.first;
  return html`
    <section class="event-list" aria-label=${t.eventList.events}>
      <${ListControls} events=${events} selection=${selection} />
      <div class="list-count">
        <p role="status">${t.eventList.shown(formatCount(shown.length), formatCount(totalEvents))}</p>
        ${shown.length > 0 && html`<p class="roi-scale" aria-hidden="true">${t.eventList.roiScale}</p>`}
      </div>
      ${!isComplete &&
      html`<p class="list-rest">
        ${t.eventList.loaded(formatCount(events.length), formatCount(totalEvents))}
        ${events.length >= EVENTS_AT_ONCE && html`<button type="button" class="button small" onClick=${() => loader.loadMore()}>${t.more}</button>`}
      </p>`}
      ${shown.length > 0
        ? html`<${WindowedList}
            key=${JSON.stringify(selection)}
            items=${shown}
            keyOf=${(/** @type {EventSummary} */ event) => event.eventId}
            renderItem=${(/** @type {EventSummary} */ event) => html`<${EventCard} event=${event} live=${live} dayOver=${isDayOver} />`}
            label=${t.eventList.events}
          />`
        : html`<${NoMatch} text=${selection.text.trim()} />`}
    </section>
  `;
}

/** The selected events in the order in which they are shown. @param {EventSummary[]} events @param {import("../event-list.js").Selection} selection */
function useShownEvents(events, selection) {
  const key = JSON.stringify(selection);
  const previous = useRef({ key, ids: /** @type {string[]} */ ([]) });
  const isReading = previous.current.key === key && (document.querySelector(".windowed")?.getBoundingClientRect().top ?? 0) < 0;
  const shown = inShownOrder(selected(events, selection, now.value), isReading ? previous.current.ids : null);
  previous.current = { key, ids: shown.map((event) => event.eventId) };
  return shown;
}

/** @param {{ text: string }} props */
function NoMatch({ text }) {
  const t = texts.value.eventList;
  const showAll = () => {
    replaceRoute(hrefFor(route.value.path));
    /** @type {HTMLElement | null} */ (document.querySelector(".list-search input"))?.focus(); // the button is gone
  };
  return html`
    <div class="no-match">
      <p><strong>${text ? t.noMatch(text) : t.noneOfStatus}</strong></p>
      <p class="note">${t.noMatchHint}</p>
      <button type="button" class="button" onClick=${showAll}>${t.showAll}</button>
    </div>
  `;
}

/** Shown until the merchant's first event: how events come in. */
function NoEvents() {
  const t = texts.value.eventList;
  return html`
    <section class="empty-state no-events">
      <${Logo} />
      <h2>${t.emptyTitle}</h2>
      <p>${t.empty}</p>
      <ol>${t.emptySteps.map((step) => html`<li>${step}</li>`)}</ol>
      <p class="note">${t.emptyDevelopers}${" "}<a href="/docs" data-native>${t.emptyDocs}</a></p>
    </section>
  `;
}

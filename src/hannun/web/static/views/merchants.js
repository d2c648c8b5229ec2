/** For administrators: the merchants and the newest events, searched by one text, each a link to enter by. */
import { useEffect, useMemo, useRef } from "../vendor/preact-hooks.js";
import { signal } from "../vendor/signals.js";
import { html } from "../html.js";
import { formatCount, formatDateWithYear } from "../format.js";
import { phaseOf } from "../event-phase.js";
import { Pages } from "../pages.js";
import { hrefFor, hrefWith, lang, now, replaceRoute, route, texts } from "../state.js";
import { PagedSection } from "../components/paged-section.js";
import { SearchField } from "../components/search-field.js";

/** @typedef {import("../api-types.js").MerchantOfList} MerchantOfList */
/** @typedef {import("../api-types.js").EventOfList} EventOfList */

/** How long the text must stay the same before it is searched for. */
const PAUSE_MS = 250;
/** The bound of the service. */
const TEXT_LENGTH_MAX = 100;

export function MerchantsView() {
  const t = texts.value.merchants;
  const typed = route.value.query.get("q") ?? "";
  const text = useSettled(typed.trim(), PAUSE_MS);
  const merchants = useMemo(() => new Pages("/api/v1/merchants", "merchants", text), [text]);
  const events = useMemo(() => new Pages("/api/v1/events", "events", text), [text]);
  useEffect(() => {
    document.title = `${t.title} · ${texts.value.name}`;
  }, [lang.value]);
  return html`
    <div class="page-head merchants-head">
      <h1 tabindex="-1">${t.title}</h1>
      <p class="headline">${t.lead}</p>
      <a class="button" href=${hrefFor("/ops")}>${t.operations}</a>
    </div>
    <${SearchField} label=${t.search} text=${typed} lengthMax=${TEXT_LENGTH_MAX} onText=${(/** @type {string} */ q) => replaceRoute(hrefWith("q", q || null))} />
    <div class="entry-sections">
      <${PagedSection}
        id="merchants"
        title=${t.merchants}
        pages=${merchants}
        found=${t.merchantsFound}
        empty=${text ? t.noMerchant(text) : t.noMerchants}
        failed=${t.merchantsFailed}
        keyOf=${(/** @type {MerchantOfList} */ merchant) => merchant.userId}
        renderItem=${(/** @type {MerchantOfList} */ merchant) => html`<${MerchantEntry} merchant=${merchant} />`}
      />
      <${PagedSection}
        id="newest-events"
        title=${text ? t.events : t.newestEvents}
        pages=${events}
        found=${t.eventsFound}
        empty=${text ? t.noEvent(text) : t.noEvents}
        failed=${t.eventsFailed}
        keyOf=${(/** @type {EventOfList} */ event) => event.eventId}
        renderItem=${(/** @type {EventOfList} */ event) => html`<${EventEntry} event=${event} />`}
      />
    </div>
  `;
}

/** A text once it has stayed the same for a while. @param {string} text @param {number} pauseMs */
function useSettled(text, pauseMs) {
  const settled = useMemo(() => signal(text), []);
  const isFirst = useRef(true);
  useEffect(() => {
    if (isFirst.current) {
      isFirst.current = false;
      return undefined;
    }
    const timer = setTimeout(() => (settled.value = text), pauseMs);
    return () => clearTimeout(timer);
  }, [text]);
  return settled.value;
}

/** @param {{ merchant: MerchantOfList }} props */
function MerchantEntry({ merchant }) {
  const t = texts.value.merchants;
  const running = merchant.runningEvents ? ` · ${t.running(formatCount(merchant.runningEvents))}` : "";
  return html`
    <a class="entry" href=${hrefFor(`/users/${encodeURIComponent(merchant.userId)}`)}>
      <strong>${merchant.userId}</strong>
      <${People} count=${merchant.totalParticipants} />
      <small class="entry-newest">${t.newest(formatDateWithYear(merchant.newestEventCreatedAt))} · ${merchant.newestEventTitle}</small>
      <small>${t.eventCount(formatCount(merchant.events))}${running}</small>
    </a>
  `;
}

/** @param {{ event: EventOfList }} props */
function EventEntry({ event }) {
  const t = texts.value;
  return html`
    <a class="entry" href=${hrefFor(`/events/${encodeURIComponent(event.eventId)}`)}>
      <strong>${event.eventTitle}</strong>
      <${People} count=${event.totalParticipants} />
      <small>${t.phase[phaseOf(event, now.value)]} · ${t.merchants.created(formatDateWithYear(event.createdAt))}</small>
      <small>${t.merchants.of(event.userId)}</small>
    </a>
  `;
}

/** @param {{ count: number }} props */
const People = ({ count }) => html`<span class="entry-people"><span class="sr-only">${texts.value.tile.participants} </span>${texts.value.eventList.people(formatCount(count))}<small aria-hidden="true">${texts.value.tile.participants}</small></span>`;

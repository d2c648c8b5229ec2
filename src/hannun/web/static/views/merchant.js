/** All of a merchant's events: the sums, then a card for each. */
import { signal } from "../vendor/signals.js";
import { useEffect, useMemo } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { ask, recall } from "../api.js";
import { count, money, percent } from "../format.js";
import { useLive } from "../live.js";
import { address, lang, session, words, zone } from "../state.js";
import { RoiBar, Sparkline } from "../components/bars.js";
import { Status } from "../components/badge.js";
import { Export } from "../components/export.js";
import { Herald } from "../components/herald.js";
import { LiveNote } from "../components/live-note.js";
import { Num } from "../components/number.js";
import { ProblemView } from "../components/problem.js";
import { Skeleton } from "../components/skeleton.js";
import { Tile, Value } from "../components/tile.js";

/** @typedef {import("../shapes.js").Merchant} Merchant */

const PAGE = 50;

/** @param {{ userId: string }} props */
export function MerchantView({ userId }) {
  const base = `/api/v1/users/${encodeURIComponent(userId)}`;
  const firstPage = `${base}/analytics?limit=${PAGE}`;
  const pages = useMemo(() => signal(/** @type {Merchant[]} */ ([recall(firstPage)].filter(Boolean))), [base]);
  const pageCount = useMemo(() => signal(1), [base]);

  const load = async () => {
    /** @type {Merchant[]} */
    const loaded = [];
    let url = firstPage;
    while (loaded.length < pageCount.peek()) {
      const page = /** @type {Merchant} */ (await ask(url));
      loaded.push(page);
      if (!page.nextCursor) break;
      url = `${firstPage}&cursor=${encodeURIComponent(page.nextCursor)}`;
    }
    pages.value = loaded;
  };
  const follower = useLive(`${base}/live`, load);
  const more = () => {
    pageCount.value += 1;
    follower.refresh();
  };

  const w = words.value;
  const own = session.value?.userId === userId;
  const title = own ? w.list.title : w.list.titleOf(userId);
  useEffect(() => {
    document.title = `${title} · ${w.name}`;
  }, [title, lang.value]);

  const problem = follower.problem.value;
  const first = pages.value[0];
  if (problem && (!first || !problem.passes)) return html`<${ProblemView} problem=${problem} of="user" retry=${() => follower.refresh()} />`;
  if (!first) return html`<${Skeleton} tiles=${4} />`;

  const { summary, roi, totalEvents } = first;
  // A page may have moved while we turned it: an event is shown once, where it stood first.
  const events = [...new Map(pages.value.flatMap((page) => page.events.map((event) => [event.eventId, event]))).values()];
  const nextCursor = pages.value[pages.value.length - 1]?.nextCursor;
  // No channel has reported anything, as far as these sums can tell: missing is never 0.
  const views = summary.totalViews || summary.totalReach ? summary.totalViews : null;
  const tz = `?${new URLSearchParams({ tz: zone.value })}`;
  const parts = [
    { name: w.files.events, holds: w.files.eventsHold(count(totalEvents)), url: `${base}/analytics${tz}` },
    { name: w.files.channels, url: `${base}/analytics/channels${tz}` },
  ];
  const headline = totalEvents ? w.list.headline(count(totalEvents), count(summary.totalParticipants ?? 0)) : w.list.empty;
  return html`
    <div class="page-head">
      <h1 tabindex="-1" class=${own ? "" : "long"}>${title}</h1>
      <p class="headline">${headline}</p>
      <${LiveNote} follower=${follower} asOf=${first.lastUpdatedAt} />
      ${totalEvents > 0 && html`<${Export} parts=${parts} />`}
      <${Herald} text=${headline} />
    </div>
    ${totalEvents > 0 &&
    html`
      <div class="sum-tiles">
        <${Tile} name=${w.tile.participants} definition=${w.about.participants}>
          <${Value} of=${summary.totalParticipants} why=${w.why.participants}><${Num} value=${summary.totalParticipants} format=${count} /><//>
        <//>
        <${Tile} name=${w.tile.views} definition=${w.about.views}>
          <${Value} of=${views} why=${w.why.views}><${Num} value=${views} format=${count} /><//>
        <//>
        ${roi &&
        html`<${Tile} name=${w.tile.roi} definition=${w.about.roi} full=${roi.investment?.total ? `${w.tile.investment} ${money(roi.investment.total)}` : undefined}>
          <${Value} of=${roi.currentRoi} why=${w.why.roi}>
            <span class=${(roi.currentRoi ?? 0) < 0 ? "loss" : "gain"}><${Num} value=${roi.currentRoi} format=${roiInWords} /></span>
          <//>
        <//>`}
      </div>
      <ul class="events">
        ${events.map((event) => html`<${EventCard} key=${event.eventId} event=${event} />`)}
      </ul>
      ${nextCursor && html`<p class="more"><button type="button" class="button" onClick=${more}>${w.more}</button></p>`}
    `}
  `;
}

/** @param {number} roi */
const roiInWords = (roi) => {
  const w = words.value.event;
  if (roi === 0) return w.even;
  return roi < 0 ? w.loss(percent(-roi)) : w.gain(percent(roi));
};

/** @param {{ event: import("../shapes.js").EventLine }} props */
function EventCard({ event }) {
  const w = words.value;
  const spark = event.sparkline ?? [];
  const lastDay = spark.reduce((sum, value) => sum + value, 0);
  const current = event.currentRoi;
  return html`
    <li>
      <a class="card event" href=${address(`/events/${encodeURIComponent(event.eventId)}`)}>
        <span class="event-head">
          <span class="event-title">${event.eventTitle}</span>
          <${Status} status=${event.status} />
        </span>
        <span class="event-body">
          <span class="event-people">
            <span class="sr-only">${w.tile.participants}</span>
            <span class="value">
              ${event.totalParticipants === null || event.totalParticipants === undefined
                ? w.none
                : html`<${Num} value=${event.totalParticipants} format=${count} /><span class="unit">${w.people("")}</span>`}
            </span>
            ${spark.length > 0 && html`<span class="note">${lastDay ? w.list.lastDay(count(lastDay)) : w.list.quietDay}</span>`}
          </span>
          ${spark.length > 0 && html`<${Sparkline} points=${spark} />`}
        </span>
        <span class="event-roi">
          ${current === null || current === undefined
            ? html`<span class="note">ROI ${w.none} · ${w.why.roi}</span>`
            : html`
                <span class="event-roi-line">
                  <span>ROI <strong class=${current < 0 ? "loss" : "gain"}>${roiInWords(current)}</strong></span>
                  ${(event.targetRoi ?? null) !== null && html`<span class="note">${w.tile.target} ${percent(event.targetRoi ?? 0)}</span>`}
                </span>
                <${RoiBar} roi=${current} target=${event.targetRoi} expected=${false} />
              `}
        </span>
      </a>
    </li>
  `;
}

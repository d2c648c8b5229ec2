/** One event: what it brought so far, what it cost, where the people came from, and how it goes on. */
import { batch, signal } from "../vendor/signals.js";
import { useEffect, useMemo, useRef } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { ask, recall } from "../api.js";
import { count, dateWithYear, money, moneyShort, percent, signedPercent } from "../format.js";
import { useLive } from "../live.js";
import { address, guest, lang, now, place, session, words, zone } from "../state.js";
import { Bar, RoiBar } from "../components/bars.js";
import { Status } from "../components/badge.js";
import { Channels } from "../components/channels.js";
import { Chart, VIEWS } from "../components/chart.js";
import { Export } from "../components/export.js";
import { LiveNote } from "../components/live-note.js";
import { Money, Num } from "../components/number.js";
import { LinkMissing, ProblemView } from "../components/problem.js";
import { Skeleton } from "../components/skeleton.js";
import { measured, originOf, Tile, Value } from "../components/tile.js";
import { Herald } from "../components/herald.js";

/** @typedef {import("../shapes.js").Dashboard} Dashboard */
/** @typedef {import("../components/chart.js").View} View */

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** @param {{ eventId: string }} props */
export function EventView({ eventId }) {
  const base = `/api/v1/events/${encodeURIComponent(eventId)}`;
  const dashboard = useMemo(() => signal(/** @type {Dashboard | null} */ (recall(`${base}/analytics`) ?? null)), [base]);
  const flow = useMemo(() => signal(/** @type {{ view: View, timeline: import("../shapes.js").Timeline | null, url: string | null, failed: boolean } | null} */ (null)), [base]);

  const view = viewInAddress();
  // Called by the follower, long after this drawing: what to ask is read from the address then.
  const load = async () => {
    const asked = viewInAddress();
    const url = timelineAddress(base, asked);
    const [figures, timeline] = await Promise.allSettled([ask(`${base}/analytics`), ask(url)]);
    if (figures.status === "rejected") throw figures.reason;
    // Both at once, so that chart and tiles never show two moments longer than they must.
    batch(() => {
      dashboard.value = figures.value;
      if (timeline.status === "fulfilled") flow.value = { view: asked, timeline: timeline.value, url, failed: false };
      else flow.value = { view: asked, timeline: null, url: null, ...flow.value, failed: true };
    });
  };
  const follower = useLive(`${base}/live`, load);

  const first = useRef(true);
  useEffect(() => {
    if (!first.current) follower.refresh();
    first.current = false;
  }, [view, zone.value, lang.value]);

  const shown = dashboard.value;
  const problem = follower.problem.value;
  useEffect(() => {
    document.title = shown ? `${shown.eventTitle} · ${words.value.name}` : words.value.name;
  }, [shown?.eventTitle, lang.value]);

  const byLink = session.value ? null : guest.value;
  if (byLink && problem?.status === 404) return html`<${LinkMissing} />`;
  if (problem && (!shown || !problem.passes)) return html`<${ProblemView} problem=${problem} of="event" retry=${() => follower.refresh()} />`;
  if (!shown) return html`<${Skeleton} tiles=${6} />`;

  const w = words.value;
  return html`
    <div class="page-head">
      ${byLink
        ? html`<p class="note">${w.event.byLink(dateWithYear(byLink.expiresAt))}</p>`
        : html`<a class="back" href=${address("/")}><span aria-hidden="true">‹</span> ${w.back}</a>`}
      <h1 tabindex="-1">${shown.eventTitle}</h1>
      <p class="period"><${Status} status=${shown.status} /> ${periodOf(shown)}</p>
      <p class="headline">${headline(shown)}</p>
      <${LiveNote} follower=${follower} asOf=${shown.lastUpdatedAt} />
      <${Export} parts=${partsOf(base, flow.value)} />
      <${Herald} text=${headline(shown)} />
    </div>
    <div class="grid">
      <${Participants} dashboard=${shown} />
      <${ReturnTile} dashboard=${shown} />
      <${Chart} timeline=${flow.value?.timeline ?? null} view=${view} shownView=${flow.value?.view ?? view} failed=${flow.value?.failed ?? false} />
      <${MoneyTile} dashboard=${shown} />
      <${SmallTiles} dashboard=${shown} />
      <${Channels} dashboard=${shown} />
    </div>
  `;
}

/** @returns {View} */
function viewInAddress() {
  const wanted = place.value.query.get("view");
  return VIEWS.find((name) => name === wanted) ?? "48h";
}

/**
 * What can be taken along: of the chart what it shows, the very range that was asked for.
 * @param {string} base
 * @param {{ view: View, timeline: import("../shapes.js").Timeline | null, url: string | null } | null} flow
 */
function partsOf(base, flow) {
  const w = words.value;
  const tz = `?${new URLSearchParams({ tz: zone.value })}`;
  const parts = [
    { name: w.files.summary, holds: w.files.summaryHolds, url: `${base}/analytics${tz}` },
    { name: w.files.channels, url: `${base}/analytics/channels${tz}` },
  ];
  const granularity = /** @type {keyof typeof w.chart.bars | undefined} */ (flow?.timeline?.granularity);
  if (!flow?.url || !granularity) return parts;
  return [...parts, { name: w.files.flow, holds: `${w.chart.views[flow.view]}, ${w.chart.bars[granularity]}`, url: flow.url }];
}

/** @param {string} base @param {View} view */
function timelineAddress(base, view) {
  const nowMs = Date.now();
  const from = (/** @type {number} */ spanMs, /** @type {number} */ bucketMs) =>
    new Date(Math.floor((nowMs - spanMs + bucketMs) / bucketMs) * bucketMs).toISOString().replace(".000Z", "Z");
  const query = new URLSearchParams({ granularity: "daily", tz: zone.peek() });
  if (view === "2h") {
    query.set("granularity", "minute");
    query.set("startDate", from(2 * HOUR_MS, MINUTE_MS));
  } else if (view === "48h") {
    query.set("granularity", "hourly");
    query.set("startDate", from(2 * DAY_MS, HOUR_MS));
  } else if (view === "30d") {
    // A date: the service begins it at midnight of the zone. "sv" writes dates as ISO 8601 does.
    query.set("startDate", new Intl.DateTimeFormat("sv", { timeZone: zone.peek() }).format(nowMs - 29 * DAY_MS));
  }
  return `${base}/analytics/timeline?${query}`;
}

/** The range that was asked for, else the event's own days. @param {Dashboard} dashboard */
function periodOf({ period, status, startDate, endDate }) {
  const start = period?.startDate ?? startDate;
  const end = period?.endDate ?? endDate;
  if (!start && !end) return null;
  const open = !end || (status === "ACTIVE" && Date.parse(end) >= now.value - MINUTE_MS);
  return `${start ? dateWithYear(start) : ""} – ${open ? words.value.untilNow : dateWithYear(/** @type {string} */ (end))}`;
}

/** Whether revenue is expected rather than recorded. @param {Dashboard["roi"]} roi @returns {"recorded" | "mixed" | "expected"} */
function revenueKind({ revenue }) {
  const recorded = revenue.recorded ?? 0;
  if (revenue.assumedShare === null || revenue.assumedShare === undefined) return recorded > 0 ? "recorded" : "expected";
  if (revenue.assumedShare <= 0) return "recorded";
  return recorded > 0 ? "mixed" : "expected";
}

/** The whole event in one or two sentences. @param {Dashboard} dashboard */
function headline({ status, summary, roi }) {
  const w = words.value.event;
  const people = summary.totalParticipants;
  const over = status !== "ACTIVE";
  const said = [];
  if (people) said.push((over ? w.headlineEnded : w.headlinePeople)(count(people)));
  else said.push(over ? w.headlineNobodyCame : w.headlineNobody);
  const invested = roi.investment.total;
  const earned = roi.revenue.total;
  if (people && invested && earned !== null && earned !== undefined) {
    const profit = earned - invested;
    const expected = revenueKind(roi) !== "recorded";
    const size = moneyShort(Math.abs(Math.round(profit)));
    if (profit === 0) said.push(w.headlineEven);
    else if (profit > 0) said.push(expected ? w.headlineGainExpected(size) : w.headlineGain(size));
    else said.push(expected ? w.headlineLossExpected(size) : w.headlineLoss(size));
  }
  return said.join(" ");
}

/** @param {{ dashboard: Dashboard }} props */
function Participants({ dashboard: { summary, provenance } }) {
  const w = words.value;
  const total = summary.totalParticipants;
  const rest = summary.unattributedParticipants;
  return html`
    <${Tile} class="hero" roomy name=${w.tile.participants} definition=${w.about.participants} origin=${originOf(summary.totalParticipants, provenance, "summary.totalParticipants")}>
      <${Value}
        of=${total}
        why=${w.why.participants}
        note=${rest ? w.event.unattributed(count(rest)) : total ? w.event.allAttributed : null}
      >
        <${Num} value=${total} format=${count} /><${Unit} of=${w.people} />
      <//>
      <${Delta} summary=${summary} />
    <//>
  `;
}

/** The unit, smaller, as far as the language has one. @param {{ of: (n: string) => string }} props */
const Unit = ({ of }) => (of("") ? html`<span class="unit">${of("")}</span>` : null);

/** No base is "new", never +100 %; no change is neither good nor bad. @param {{ summary: import("../shapes.js").Summary }} props */
function Delta({ summary }) {
  const w = words.value.event;
  if (!summary.previous) return null;
  const delta = summary.delta?.totalParticipants;
  if (delta === null || delta === undefined) return html`<p class="note">${w.deltaNew}</p>`;
  if (delta === 0) return html`<p class="note">${w.deltaSame}</p>`;
  return html`<p class="note ${delta > 0 ? "gain" : "loss"}">
    <span aria-hidden="true">${delta > 0 ? "▲" : "▼"}</span> ${w.delta(signedPercent(delta))}
  </p>`;
}

/** @param {{ dashboard: Dashboard }} props */
function ReturnTile({ dashboard: { roi, provenance } }) {
  const w = words.value;
  const current = roi.currentRoi;
  const expected = revenueKind(roi) !== "recorded";
  return html`
    <${Tile} class="return" roomy name=${w.tile.roi} definition=${w.about.roi} origin=${originOf(roi.currentRoi, provenance, "roi.currentRoi")}>
      ${current === null || current === undefined
        ? html`<${Value} of=${null} why=${w.why.roi} />`
        : html`
            <p class="value ${current < 0 ? "loss" : current > 0 ? "gain" : ""}"><${Num} value=${current} format=${roiInWords} /></p>
            <${RoiBar} roi=${current} target=${roi.targetRoi} expected=${expected} />
            <p class="note">${targetNote(current, roi.targetRoi)}</p>
            ${current >= -100 &&
            html`<p class="note">${(expected ? w.event.perHundredExpected : w.event.perHundred)(perHundred(current))}</p>`}
          `}
    <//>
  `;
}

/** @param {number} roi */
const roiInWords = (roi) => {
  const w = words.value.event;
  if (roi === 0) return w.even;
  return roi < 0 ? w.loss(percent(-roi)) : w.gain(percent(roi));
};

/** What comes back of 100; near 100 with a decimal, or a loss would read as none. @param {number} roi */
const perHundred = (roi) => (Math.abs(roi) < 10 ? count(100 + roi, 1) : count(Math.round(100 + roi)));

/** @param {number} current @param {import("../shapes.js").Figure} target */
function targetNote(current, target) {
  const w = words.value.event;
  if (target === null || target === undefined) return w.noTarget;
  return current >= target ? w.targetMet(percent(target)) : w.targetLeft(percent(target), count(target - current, 2));
}

/** @param {{ dashboard: Dashboard }} props */
function MoneyTile({ dashboard: { roi, provenance } }) {
  const w = words.value;
  const { investment, revenue } = roi;
  const kind = revenueKind(roi);
  const most = Math.max(investment.total ?? 0, revenue.total ?? 0);
  const revenueName = { recorded: w.tile.revenue, expected: w.tile.revenueExpected, mixed: w.tile.revenueMixed }[kind];
  const revenueNote = { recorded: w.event.revenueRecorded, expected: w.event.revenueExpected, mixed: w.event.revenueMixed }[kind];
  const full = [investment.total, revenue.total].every((part) => part !== null && part !== undefined)
    ? `${w.tile.investment} ${money(investment.total ?? 0)} · ${revenueName} ${money(revenue.total ?? 0)}`
    : undefined;
  return html`
    <${Tile} class="money-tile" roomy name=${w.tile.money} definition=${w.about.money} origin=${originOf(roi.revenue.total, provenance, "roi.revenue.total")} full=${full}>
      <dl class="money-lines">
        <div>
          <dt>${w.tile.investment}</dt>
          <dd><${Value} of=${investment.total} why=${w.why.investment}><${Money} value=${investment.total} /><//></dd>
          <dd class="bar-line"><${Bar} part=${investment.total ?? 0} of=${most} look="ink" /></dd>
          ${(investment.planned ?? null) !== null &&
          (investment.channels ?? null) !== null &&
          html`<dd class="note">
            ${w.event.investmentParts(moneyShort(investment.planned ?? 0), moneyShort(investment.channels ?? 0))}
          </dd>`}
        </div>
        <div>
          <dt>${revenueName}</dt>
          <dd><${Value} of=${revenue.total} why=${w.why.revenue}><${Money} value=${revenue.total} /><//></dd>
          <dd class="bar-line"><${Bar} part=${revenue.total ?? 0} of=${most} look=${kind === "recorded" ? "accent" : "accent hatched"} /></dd>
          ${(revenue.total ?? null) !== null && html`<dd class="note">${revenueNote}</dd>`}
        </div>
      </dl>
    <//>
  `;
}

/** @param {{ dashboard: Dashboard }} props */
function SmallTiles({ dashboard: { summary, roi, provenance } }) {
  const w = words.value;
  const people = summary.totalParticipants ?? 0;
  const views = measured(summary.totalViews, provenance, "summary.totalViews");
  const unheard = views === null;
  const even = roi.breakEvenParticipants;
  const left = (even ?? 0) - people;
  return html`
    <div class="small-tiles">
      <${Tile} name=${w.tile.views} definition=${w.about.views} origin=${originOf(views, provenance, "summary.totalViews")}>
        <${Value} of=${views} why=${w.why.views} note=${w.event.viewsSum}>
          <${Num} value=${views} format=${count} /><${Unit} of=${w.times} />
        <//>
      <//>
      <${Tile} name=${w.tile.conversionRate} definition=${w.about.conversionRate} origin=${originOf(summary.conversionRate, provenance, "summary.conversionRate")}>
        <${Value} of=${summary.conversionRate} why=${unheard ? w.why.views : w.why.conversionRate} note=${w.event.clicksToConversions}>
          <${Num} value=${summary.conversionRate} format=${percent} />
        <//>
      <//>
      <${Tile}
        name=${w.tile.costPerParticipant}
        definition=${w.about.costPerParticipant}
        origin=${originOf(roi.costPerParticipant, provenance, "roi.costPerParticipant")}
        full=${roi.costPerParticipant ? money(roi.costPerParticipant) : undefined}
      >
        <${Value} of=${roi.costPerParticipant} why=${w.why.costPerParticipant} note=${w.event.perParticipant}>
          <${Money} value=${roi.costPerParticipant} />
        <//>
      <//>
      <${Tile} name=${w.tile.breakEven} definition=${w.about.breakEven} origin=${originOf(roi.breakEvenParticipants, provenance, "roi.breakEvenParticipants")}>
        <${Value}
          of=${even}
          why=${people ? w.why.breakEvenNoRevenue : w.why.costPerParticipant}
          note=${left > 0 ? w.event.breakEvenLeft(count(left)) : w.event.breakEvenDone}
        >
          <${Num} value=${even} format=${count} /><${Unit} of=${w.people} />
        <//>
      <//>
    </div>
  `;
}

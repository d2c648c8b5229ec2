/** The dashboard of an event: headline, tiles, timeline chart and channels. */
import { batch, signal } from "../vendor/signals.js";
import { useEffect, useMemo, useRef } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { cachedBody, getJson } from "../api.js";
import { datesText, isOver, phaseOf } from "../event-phase.js";
import { formatCount, formatDateWithTime, formatDateWithYear, formatMoneyShort } from "../format.js";
import { useLiveQuery } from "../live-query.js";
import { hrefFor, lang, now, route, session, shareAccess, texts, timeZone } from "../state.js";
import { EventStatus } from "../components/badge.js";
import { Channels } from "../components/channels.js";
import { Chart, VIEWS } from "../components/chart.js";
import { MoneyTile, ParticipantsTile, RoiTile, SmallTiles } from "../components/event-tiles.js";
import { Export } from "../components/export.js";
import { LiveRegion } from "../components/live-region.js";
import { LiveStatus } from "../components/live-status.js";
import { ProblemView, ShareLinkInvalid } from "../components/problem.js";
import { isMissing, revenueBasis } from "../components/roi.js";
import { Skeleton } from "../components/skeleton.js";

/** @typedef {import("../api-types.js").Dashboard} Dashboard */
/** @typedef {import("../components/chart.js").View} View */
/** The shown timeline with its chart and URL; `failed` is whether the last load failed. @typedef {{ chart: RequestedChart, timeline: import("../api-types.js").Timeline, url: string }} ShownTimeline */
/** What decides which timeline the chart shows. @typedef {{ view: View, tz: string }} RequestedChart */

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** @param {{ eventId: string }} props */
export function EventView({ eventId }) {
  const base = `/api/v1/events/${encodeURIComponent(eventId)}`;
  const dashboard = useMemo(() => signal(/** @type {Dashboard | null} */ (cachedBody(`${base}/analytics`) ?? null)), [base]);
  const shownTimeline = useMemo(() => signal(/** @type {ShownTimeline | null} */ (null)), [base]);
  const timelineFailed = useMemo(() => signal(false), [base]);

  const requested = requestedChart();
  // The live query calls this long after this rendering, so that it reads the view from the current route.
  const load = async () => {
    const chart = requestedChart();
    const url = timelineUrl(base, chart);
    const [figures, timeline] = await Promise.allSettled([getJson(`${base}/analytics`), getJson(url)]);
    // Update both in one rendering, so that chart and tiles show the same moment.
    batch(() => {
      const loaded = figures.status === "fulfilled" && timeline.status === "fulfilled";
      if (figures.status === "fulfilled") dashboard.value = figures.value;
      if (loaded) shownTimeline.value = { chart, timeline: timeline.value, url };
      timelineFailed.value = !loaded;
    });
    if (figures.status === "rejected") throw figures.reason;
  };
  const liveQuery = useLiveQuery(`${base}/live`, load);

  const initial = useRef(true);
  useEffect(() => {
    if (!initial.current) liveQuery.refresh();
    initial.current = false;
  }, [requested.view, requested.tz, lang.value]);

  const shown = dashboard.value;
  const problem = liveQuery.problem.value;
  useEffect(() => {
    document.title = shown ? `${shown.eventTitle} · ${texts.value.name}` : texts.value.name;
  }, [shown?.eventTitle, lang.value]);

  const share = session.value ? null : shareAccess.value;
  if (share && problem?.status === 404) return html`<${ShareLinkInvalid} />`;
  if (problem && (!shown || !problem.transient)) return html`<${ProblemView} problem=${problem} subject="event" retry=${() => liveQuery.refresh()} />`;
  if (!shown) return html`<${Skeleton} tiles=${6} />`;

  const t = texts.value;
  const chartShown = shownTimeline.value;
  return html`
    <div class="page-head">
      ${share
        ? html`<p class="note">${t.event.viaShareLink(formatDateWithYear(share.expiresAt))}</p>`
        : html`<a class="back" href=${hrefFor("/")}><span aria-hidden="true">‹</span> ${t.back}</a>`}
      <h1 tabindex="-1">${shown.eventTitle}</h1>
      <p class="period"><${EventStatus} event=${shown} /> ${datesText(shown, now.value)}</p>
      <p class="headline">${headlineText(shown)}</p>
      <${LiveStatus} liveQuery=${liveQuery} asOf=${shown.lastUpdatedAt} />
      <${Export} parts=${exportParts(base, shownTimeline.value)} />
      <${LiveRegion} text=${headlineText(shown)} />
    </div>
    <div class="grid">
      <${ParticipantsTile} dashboard=${shown} />
      <${RoiTile} dashboard=${shown} />
      <${Chart}
        timeline=${chartShown?.timeline ?? null}
        view=${requested.view}
        current=${!chartShown || isSameChart(chartShown.chart, requested)}
        failed=${timelineFailed.value}
        isOver=${isOver(shown, now.value)}
      />
      <${MoneyTile} dashboard=${shown} />
      <${SmallTiles} dashboard=${shown} />
      <${Channels} dashboard=${shown} />
    </div>
  `;
}

/** The view in the URL, 48 hours by default, and the time zone of its buckets. @returns {RequestedChart} */
function requestedChart() {
  const requested = route.value.query.get("view");
  return { view: VIEWS.find((name) => name === requested) ?? "48h", tz: timeZone.value };
}

/** @param {RequestedChart} one @param {RequestedChart} other */
const isSameChart = (one, other) => one.view === other.view && one.tz === other.tz;

/**
 * The data that can be exported. The timeline is exported with exactly the range that the chart shows.
 * @param {string} base
 * @param {ShownTimeline | null} shown
 */
function exportParts(base, shown) {
  const t = texts.value;
  const tz = `?${new URLSearchParams({ tz: timeZone.value })}`;
  const parts = [
    { name: t.exportMenu.summary, contents: t.exportMenu.summaryContents, url: `${base}/analytics${tz}` },
    { name: t.exportMenu.channels, url: `${base}/analytics/channels${tz}` },
  ];
  const granularity = /** @type {keyof typeof t.chart.bars | undefined} */ (shown?.timeline.granularity);
  if (!shown || !granularity) return parts;
  return [...parts, { name: t.exportMenu.timeline, contents: `${t.chart.views[shown.chart.view]}, ${t.chart.bars[granularity]}`, url: shown.url }];
}

/** @param {string} base @param {RequestedChart} chart */
function timelineUrl(base, { view, tz }) {
  const nowMs = Date.now();
  const from = (/** @type {number} */ spanMs, /** @type {number} */ bucketMs) =>
    new Date(Math.floor((nowMs - spanMs + bucketMs) / bucketMs) * bucketMs).toISOString().replace(".000Z", "Z");
  const query = new URLSearchParams({ granularity: "daily", tz });
  if (view === "2h") {
    query.set("granularity", "minute");
    query.set("startDate", from(2 * HOUR_MS, MINUTE_MS));
  } else if (view === "48h") {
    query.set("granularity", "hourly");
    query.set("startDate", from(2 * DAY_MS, HOUR_MS));
  } else if (view === "30d") {
    // A date without time: the service takes midnight in the time zone. The locale "sv" formats dates as ISO 8601.
    query.set("startDate", new Intl.DateTimeFormat("sv", { timeZone: tz }).format(nowMs - 29 * DAY_MS));
  }
  return `${base}/analytics/timeline?${query}`;
}

/** A summary of the event in one or two sentences. @param {Dashboard} dashboard */
function headlineText(dashboard) {
  return [participantsSentence(dashboard), moneySentence(dashboard)].filter(Boolean).join(" ");
}

/** @param {Dashboard} dashboard */
function participantsSentence(dashboard) {
  const t = texts.value.event;
  const phase = phaseOf(dashboard, now.value);
  const participants = dashboard.summary.totalParticipants;
  if (phase === "upcoming" && dashboard.startDate) {
    const starts = t.headlineUpcoming(formatDateWithTime(dashboard.startDate));
    return participants ? `${starts} ${t.headlineActive(formatCount(participants))}` : starts;
  }
  const over = isOver(dashboard, now.value);
  if (participants) return (over ? t.headlineEnded : t.headlineActive)(formatCount(participants));
  return over ? t.headlineEndedEmpty : t.headlineActiveEmpty;
}

/** What was earned. Expected revenue is only mentioned while the event runs, because afterwards none is to come. @param {Dashboard} dashboard */
function moneySentence(dashboard) {
  const t = texts.value.event;
  const { roi, summary, provenance } = dashboard;
  const invested = roi.investment.total;
  const earned = roi.revenue.total;
  if (!summary.totalParticipants || !invested || isMissing(earned)) return null;
  const expected = revenueBasis(roi.revenue, provenance) !== "recorded";
  if (expected && isOver(dashboard, now.value)) return t.headlineNoSales;
  if (expected && phaseOf(dashboard, now.value) === "upcoming") return null;
  const profit = earned - invested;
  const size = formatMoneyShort(Math.abs(Math.round(profit)));
  if (profit === 0) return expected ? t.headlineBreakEvenExpected : t.headlineBreakEven;
  if (profit > 0) return (expected ? t.headlineGainExpected : t.headlineGain)(size);
  return (expected ? t.headlineLossExpected : t.headlineLoss)(size);
}

/** The dashboard of an event: the answer in a sentence, the tiles with their chart, money and channels. */
import { batch, signal } from "../vendor/signals.js";
import { useEffect, useMemo, useRef } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { cachedBody, getJson, Problem } from "../api.js";
import { comparedTimelineUrl, requestedChart, timelineUrl, todayUrl } from "../chart-range.js";
import { headlineText } from "../event-headline.js";
import { datesText, isOngoing } from "../event-phase.js";
import { formatDateWithYear } from "../format.js";
import { useShortcut } from "../keyboard.js";
import { coalesce, useLiveQuery } from "../live-query.js";
import { useUnchanged } from "../sharing.js";
import { hrefFor, lang, now, session, shareAccess, texts, timeZone } from "../state.js";
import { EventStatus } from "../components/badge.js";
import { EventSections } from "../components/event-sections.js";
import { EventSummary } from "../components/event-summary.js";
import { Export } from "../components/export.js";
import { LiveRegion } from "../components/live-region.js";
import { LiveStatus } from "../components/live-status.js";
import { ProblemView, ShareLinkInvalid } from "../components/problem.js";
import { Skeleton } from "../components/skeleton.js";

/** @typedef {import("../api-types.js").Dashboard} Dashboard */
/** @typedef {import("../api-types.js").Insights} Insights */
/** @typedef {import("../chart-range.js").RequestedChart} RequestedChart */
/** @typedef {import("../components/chart.js").ShownTimeline} ShownTimeline */

/** What the figures mean is loaded at most so often. */
const INSIGHTS_GAP_MS = 2_000;
/** The figures of today beside those of yesterday are loaded at most so often: channels report in minutes. */
const TODAY_GAP_MS = 30_000;

/** @param {{ eventId: string }} props */
export function EventView({ eventId }) {
  const base = `/api/v1/events/${encodeURIComponent(eventId)}`;
  const dashboard = useMemo(() => signal(/** @type {Dashboard | null} */ (cachedBody(`${base}/analytics`) ?? null)), [base]);
  const shownTimeline = useMemo(() => signal(/** @type {ShownTimeline | null} */ (null)), [base]);
  const timelineFailed = useMemo(() => signal(false), [base]);
  const today = useMemo(() => signal(/** @type {Dashboard | null} */ (null)), [base]);
  const insights = useMemo(() => signal(/** @type {Insights | null} */ (cachedBody(insightsUrl(base)) ?? null)), [base]);
  const insightsFailed = useMemo(() => signal(false), [base]);
  const loadToday = useMemo(() => coalesce(() => fetchToday(base, dashboard, today), TODAY_GAP_MS), [base]);
  const loadInsights = useMemo(() => coalesce(() => fetchInsights(base, insights, insightsFailed), INSIGHTS_GAP_MS), [base]);

  const chartOfLoad = useRef("");
  const load = async () => {
    // The dates of the event decide which range its chart shows, unless the URL names one. So they are loaded first.
    const first = dashboard.peek() ? null : await getJson(`${base}/analytics`);
    if (first) dashboard.value = first;
    const event = /** @type {Dashboard} */ (dashboard.peek());
    loadInsights();
    loadToday();
    // The live query calls this long after a rendering, so that it reads the view from the current route.
    const chart = requestedChart(event);
    chartOfLoad.current = nameOf(chart);
    const url = timelineUrl(base, chart, event);
    const [figures, timeline, compared] = await Promise.allSettled([
      first ?? getJson(`${base}/analytics`),
      getJson(url),
      chart.compare ? getJson(comparedTimelineUrl(base, chart, event)) : null,
    ]);
    // Update all in one rendering, so that chart and tiles show the same moment.
    batch(() => {
      const loaded = figures.status === "fulfilled" && timeline.status === "fulfilled";
      if (figures.status === "fulfilled") dashboard.value = figures.value;
      if (loaded) shownTimeline.value = shownOf(shownTimeline.peek(), { chart, timeline: timeline.value, compared: compared.status === "fulfilled" ? compared.value : null, url });
      timelineFailed.value = !loaded;
    });
    if (figures.status === "rejected") throw figures.reason;
  };
  const liveQuery = useLiveQuery(`${base}/live`, load, `${base}/analytics`);
  useShortcut("X", () => /** @type {HTMLElement | null} */ (document.querySelector(".export > button"))?.click(), "export");
  useShortcut("R", () => liveQuery.refresh(), "reload");

  const shown = dashboard.value;
  const requested = useUnchanged(shown && requestedChart(shown));
  const retryInsights = useMemo(() => () => fetchInsights(base, insights, insightsFailed), [base]);
  const chartName = requested && nameOf(requested);
  useEffect(() => {
    if (chartName && chartOfLoad.current && chartName !== chartOfLoad.current) liveQuery.refresh();
  }, [chartName]);

  const problem = liveQuery.problem.value;
  useEffect(() => {
    document.title = shown ? `${shown.eventTitle} · ${texts.value.name}` : texts.value.name;
  }, [shown?.eventTitle, lang.value]);

  const share = session.value ? null : shareAccess.value;
  const taken = useUnchanged(shown && { parts: exportParts(base, shownTimeline.value), event: exportedEvent(base, shown, !share) });
  if (share && problem?.status === 404) return html`<${ShareLinkInvalid} />`;
  if (problem && (!shown || !problem.transient)) return html`<${ProblemView} problem=${problem} subject="event" retry=${() => liveQuery.refresh()} />`;
  if (!shown || !requested || !taken) return html`<${Skeleton} tiles=${6} />`;

  const t = texts.value;
  const chartShown = shownTimeline.value;
  const headline = (!insightsFailed.value && insights.value?.headline.text[lang.value]) || headlineText(shown);
  return html`
    <div class="page-head event-intro">
      <div class="event-actions">
        ${share
          ? html`<p class="note">${t.event.viaShareLink(formatDateWithYear(share.expiresAt))}</p>`
          : html`<a class="back" href=${hrefFor("/")}><span aria-hidden="true">‹</span> ${t.back}</a>`}
        <${Export} parts=${taken.parts} event=${taken.event} />
      </div>
      <h1 tabindex="-1">${shown.eventTitle}</h1>
      <p class="period"><${EventStatus} event=${shown} /> ${datesText(shown, now.value)}</p>
      <p class="headline">${headline}</p>
      <${LiveStatus} liveQuery=${liveQuery} asOf=${shown.lastUpdatedAt} />
      <${LiveRegion} text=${headline} />
    </div>
    <${EventSummary}
      dashboard=${shown}
      today=${today.value}
      insights=${insights.value}
      shownTimeline=${chartShown}
      requested=${requested}
      current=${!chartShown || isSameChart(chartShown.chart, requested)}
      failed=${timelineFailed.value}
    />
    <${EventSections} dashboard=${shown} insights=${insights.value} insightsFailed=${insightsFailed.value} retry=${retryInsights} />
  `;
}

/** What a load of a chart depends on; answers are in a language. @param {RequestedChart} chart */
const nameOf = (chart) => `${rangeNameOf(chart)} ${chart.compare} ${lang.value}`;

/** @param {RequestedChart} chart */
const rangeNameOf = ({ view, granularity, offset, tz }) => `${view} ${granularity} ${offset} ${tz}`;

/** Whether two charts have the same range and buckets. @param {RequestedChart} one @param {RequestedChart} other */
const isSameChart = (one, other) => rangeNameOf(one) === rangeNameOf(other);

/** The new answers, or the ones before if they are the same: nothing is then drawn again. @param {ShownTimeline | null} before @param {ShownTimeline} loaded */
const shownOf = (before, loaded) =>
  before && before.timeline === loaded.timeline && before.compared === loaded.compared && nameOf(before.chart) === nameOf(loaded.chart) ? before : loaded;

/**
 * Load the figures of today beside those of yesterday. The page is whole without them.
 * @param {string} base
 * @param {import("../vendor/signals.js").Signal<Dashboard | null>} dashboard
 * @param {import("../vendor/signals.js").Signal<Dashboard | null>} today
 */
async function fetchToday(base, dashboard, today) {
  const event = dashboard.peek();
  if (!event || !isOngoing(event, Date.now())) return;
  try {
    today.value = await getJson(todayUrl(base));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
  }
}

/** @param {string} base */
const insightsUrl = (base) => `${base}/analytics/insights?${new URLSearchParams({ tz: timeZone.value })}`;

/**
 * Load what the figures of an event mean. The page is whole without it.
 * @param {string} base
 * @param {import("../vendor/signals.js").Signal<Insights | null>} insights
 * @param {import("../vendor/signals.js").Signal<boolean>} failed
 */
async function fetchInsights(base, insights, failed) {
  try {
    insights.value = await getJson(insightsUrl(base));
    failed.value = false;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    failed.value = true;
  }
}

/** What the export needs of an event: mostly the same in the next answer. @param {string} base @param {Dashboard} dashboard @param {boolean} canShare @returns {import("../components/export.js").ExportedEvent} */
const exportedEvent = (base, { eventId, eventTitle, endDate = null }, canShare) => ({
  eventId,
  eventTitle,
  endDate,
  url: `${base}/analytics?${new URLSearchParams({ tz: timeZone.value })}`,
  canShare,
});

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

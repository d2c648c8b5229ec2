/** The dashboard of an event: headline, tiles, timeline chart and channels. */
import { batch, signal } from "../vendor/signals.js";
import { useEffect, useMemo, useRef } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { cachedBody, getJson } from "../api.js";
import { requestedChart, timelineUrl } from "../chart-range.js";
import { datesText, isOver, phaseOf } from "../event-phase.js";
import { formatCount, formatDateWithTime, formatDateWithYear, formatMoneyShort } from "../format.js";
import { useLiveQuery } from "../live-query.js";
import { hrefFor, lang, now, session, shareAccess, texts, timeZone } from "../state.js";
import { EventStatus } from "../components/badge.js";
import { Channels } from "../components/channels.js";
import { Chart } from "../components/chart.js";
import { MoneyTile, ParticipantsTile, RoiTile, SmallTiles } from "../components/event-tiles.js";
import { Export } from "../components/export.js";
import { LiveRegion } from "../components/live-region.js";
import { LiveStatus } from "../components/live-status.js";
import { ProblemView, ShareLinkInvalid } from "../components/problem.js";
import { isMissing, revenueBasis } from "../components/roi.js";
import { Skeleton } from "../components/skeleton.js";

/** @typedef {import("../api-types.js").Dashboard} Dashboard */
/** @typedef {import("../chart-range.js").RequestedChart} RequestedChart */
/** The shown timeline with its chart and URL. @typedef {{ chart: RequestedChart, timeline: import("../api-types.js").Timeline, url: string }} ShownTimeline */

/** @param {{ eventId: string }} props */
export function EventView({ eventId }) {
  const base = `/api/v1/events/${encodeURIComponent(eventId)}`;
  const dashboard = useMemo(() => signal(/** @type {Dashboard | null} */ (cachedBody(`${base}/analytics`) ?? null)), [base]);
  const shownTimeline = useMemo(() => signal(/** @type {ShownTimeline | null} */ (null)), [base]);
  const timelineFailed = useMemo(() => signal(false), [base]);

  const chartOfLoad = useRef("");
  const load = async () => {
    // The dates of the event decide which range its chart shows, unless the URL names one. So they are loaded first.
    const first = dashboard.peek() ? null : await getJson(`${base}/analytics`);
    if (first) dashboard.value = first;
    const event = /** @type {Dashboard} */ (dashboard.peek());
    // The live query calls this long after a rendering, so that it reads the view from the current route.
    const chart = requestedChart(event);
    chartOfLoad.current = nameOf(chart);
    const url = timelineUrl(base, chart, event);
    const [figures, timeline] = await Promise.allSettled([first ?? getJson(`${base}/analytics`), getJson(url)]);
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

  const shown = dashboard.value;
  const requested = shown && requestedChart(shown);
  const chartName = requested && nameOf(requested);
  useEffect(() => {
    if (chartName && chartOfLoad.current && chartName !== chartOfLoad.current) liveQuery.refresh();
  }, [chartName]);

  const problem = liveQuery.problem.value;
  useEffect(() => {
    document.title = shown ? `${shown.eventTitle} · ${texts.value.name}` : texts.value.name;
  }, [shown?.eventTitle, lang.value]);

  const share = session.value ? null : shareAccess.value;
  if (share && problem?.status === 404) return html`<${ShareLinkInvalid} />`;
  if (problem && (!shown || !problem.transient)) return html`<${ProblemView} problem=${problem} subject="event" retry=${() => liveQuery.refresh()} />`;
  if (!shown || !requested) return html`<${Skeleton} tiles=${6} />`;

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
        event=${shown}
        view=${requested.view}
        current=${!chartShown || isSameChart(chartShown.chart, requested)}
        failed=${timelineFailed.value}
      />
      <${MoneyTile} dashboard=${shown} />
      <${SmallTiles} dashboard=${shown} />
      <${Channels} dashboard=${shown} />
    </div>
  `;
}

/** What a load of a chart depends on; answers are in a language. @param {RequestedChart} chart */
const nameOf = ({ view, tz }) => `${view} ${tz} ${lang.value}`;

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
  if (expected) return t.headlineLossExpected(size);
  return (isOver(dashboard, now.value) ? t.headlineLossEnded : t.headlineLoss)(size);
}

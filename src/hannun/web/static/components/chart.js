/**
 * The timeline chart: participants of each bucket and their cumulative total. Screen readers cannot read the canvas, so
 * the sentence above it and the table below it give the same data.
 */
import { signal } from "../vendor/signals.js";
import { useMemo } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { defaultView, offeredViews } from "../chart-range.js";
import { isOngoing, phaseOf } from "../event-phase.js";
import { formatBucket, formatCount } from "../format.js";
import { hrefWith, now, route, texts } from "../state.js";
import { AnimatedNumber } from "./number.js";
import { Plot } from "./plot.js";

/** @typedef {import("../api-types.js").Timeline} Timeline */
/** @typedef {import("./plot.js").CursorIndex} CursorIndex */
/** @typedef {import("../chart-range.js").View} View */
/** @typedef {import("../event-phase.js").EventDates} EventDates */

/**
 * @param {object} props
 * @param {Timeline | null} props.timeline
 * @param {EventDates} props.event
 * @param {View} props.view the requested view
 * @param {boolean} props.current whether `timeline` is that of the requested view; if not, its answer has not arrived
 * @param {boolean} props.failed whether the last load of the timeline failed
 */
export function Chart({ timeline, event, view, current, failed }) {
  const t = texts.value.chart;
  const cursorIndex = useMemo(() => signal(/** @type {number | null} */ (null)), []);
  const tableOpen = route.value.query.get("table") === "1";
  const granularity = /** @type {keyof typeof t.bars} */ (timeline?.granularity ?? "hourly");
  // The chart of another range must not stand under the name of this one.
  const points = !current && failed ? [] : (timeline?.dataPoints ?? []);
  const last = points[points.length - 1];
  const hasIncomplete = points.some((point) => !point.complete && point.participants);
  if (phaseOf(event, now.value) === "upcoming" && timeline && current && totalOf(timeline) === 0) {
    return html`
      <section class="card chart not-started" aria-labelledby="chart-title">
        <div class="section-head"><h2 id="chart-title">${t.title}</h2></div>
        <p class="readout">${t.notStarted}</p>
      </section>
    `;
  }
  return html`
    <section class="card chart" aria-labelledby="chart-title" aria-busy=${!current && !failed}>
      <div class="section-head">
        <h2 id="chart-title">${t.title}</h2>
        <nav class="segments" aria-label=${t.view}>
          ${offeredViews(event, view).map(
            (name) => html`<a
              href=${hrefWith("view", name === defaultView(event) ? null : name)}
              data-replace
              aria-current=${name === view ? "true" : undefined}
              >${t.views[name]}</a
            >`,
          )}
        </nav>
      </div>
      ${failed && html`<p class="note" role="status">${current ? t.failed : t.failedView(t.views[view])}</p>`}
      ${current
        ? html`<${Readout} timeline=${timeline} view=${view} cursorIndex=${cursorIndex} event=${event} />`
        : !failed && html`<p class="readout">${t.loadingView(t.views[view])}</p>`}
      <div class="plot-container">${points.length > 0 && html`<${Plot} timeline=${timeline} cursorIndex=${cursorIndex} />`}</div>
      ${points.length > 0 &&
      html`<div class="chart-foot">
        <ul class="legend" aria-hidden="true">
          <li><span class="legend-key bars"></span>${t.onLeftAxis(t.bars[granularity] ?? t.participants)}</li>
          ${hasIncomplete && html`<li><span class="legend-key hatched"></span>${t.incomplete}</li>`}
          <li><span class="legend-key line"></span>${t.onRightAxis(t.cumulative)} ${last && last.cumulativeParticipants !== null && html`<${AnimatedNumber} value=${last.cumulativeParticipants} format=${formatCount} />`}</li>
        </ul>
        <a class="button quiet small" role="button" aria-expanded=${tableOpen} href=${hrefWith("table", tableOpen ? null : "1")} data-replace>
          ${tableOpen ? t.hideTable : t.showTable}
        </a>
      </div>`}
      ${tableOpen && points.length > 0 && html`<${Table} timeline=${timeline} />`}
    </section>
  `;
}

/** The figures of the bucket under the pointer, else a summary of the chart. Keeps its place while nothing is loaded. @param {{ timeline: Timeline | null, view: View, cursorIndex: CursorIndex, event: EventDates }} props */
function Readout({ timeline, view, cursorIndex, event }) {
  const t = texts.value.chart;
  if (!timeline) return html`<p class="readout"></p>`;
  const point = cursorIndex.value === null ? undefined : timeline.dataPoints[cursorIndex.value];
  if (point) {
    const when = formatBucket(point.timestamp, timeline.granularity);
    if (point.participants === null) return html`<p class="readout at-cursor">${when} · ${t.notKept}</p>`;
    const text = t.point(when, formatCount(point.participants), countOrNotKept(point.cumulativeParticipants));
    return html`<p class="readout at-cursor">${text}${point.complete ? "" : ` · ${t.incompleteFull}`}</p>`;
  }
  return html`<p class="readout">${summarySentence(timeline, view, event)}</p>`;
}

/** @param {Timeline} timeline */
const totalOf = ({ totals, dataPoints }) => totals?.participants ?? dataPoints.reduce((all, point) => all + (point.participants ?? 0), 0);

/** An event that has not begun has no trend yet, and one that has ended has none any more. @param {Timeline} timeline @param {View} view @param {EventDates} event */
function summarySentence(timeline, view, event) {
  const t = texts.value.chart;
  const points = timeline.dataPoints;
  const notKept = timeline.period?.notKept && t.notKeptNote;
  const total = totalOf(timeline);
  if (total === 0) return t.summaryEmpty(t.span[view]);
  const peak = points.reduce((best, point) => ((point.participants ?? 0) > (best.participants ?? 0) ? point : best));
  const most = peak.participants ?? 0;
  if (most === 0) return [t.summaryTotal(t.span[view], formatCount(total)), notKept].filter(Boolean).join(" ");
  const when = formatBucket(peak.timestamp, timeline.granularity);
  const trend = isOngoing(event, now.value) && timeline.trend && t.trend[timeline.trend.direction];
  return [t.summary(t.span[view], formatCount(total), when, formatCount(most)), trend, notKept].filter(Boolean).join(" ");
}

/** A figure of a bucket, or that its minutes are not kept, which is not 0. @param {number | null} value */
const countOrNotKept = (value) => (value === null ? texts.value.chart.notKept : formatCount(value));

/** @param {{ timeline: Timeline }} props */
function Table({ timeline }) {
  const t = texts.value.chart;
  return html`
    <div class="chart-table" tabindex="0" role="region" aria-label=${t.tableCaption}>
      <table>
        <caption class="sr-only">
          ${t.tableCaption}
        </caption>
        <thead>
          <tr>
            <th scope="col">${t.time}</th>
            <th scope="col" class="figure">${t.participants}</th>
            <th scope="col" class="figure">${t.cumulativeFull}</th>
          </tr>
        </thead>
        <tbody>
          ${[...timeline.dataPoints].reverse().map(
            (point) => html`<tr key=${point.timestamp}>
              <th scope="row">
                ${formatBucket(point.timestamp, timeline.granularity)}${!point.complete && html` <small>${t.incomplete}</small>`}
              </th>
              <td class="figure">${countOrNotKept(point.participants)}</td>
              <td class="figure">${countOrNotKept(point.cumulativeParticipants)}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
  `;
}

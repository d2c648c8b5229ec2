/**
 * The chart of an event: one metric for each bucket of a range, or its running total. The sentence above the canvas and
 * the table below it give the same figures in words.
 */
import { signal } from "../vendor/signals.js";
import { useMemo } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { rangeBeforeText, rangeText, requestedMetric } from "../chart-range.js";
import { bucketSeries, cumulativeSeries, incompleteReason, peakOf, placeMarks, totalOf } from "../chart-series.js";
import { figureText } from "../chart-text.js";
import { isOngoing, phaseOf } from "../event-phase.js";
import { formatBucket, formatChange, formatCount, formatPercent } from "../format.js";
import { hrefWith, lang, now, replaceRoute, route, texts } from "../state.js";
import { ChartSwitches, RangeChoice, RangeSteps } from "./chart-controls.js";
import { ChartMarks } from "./chart-marks.js";
import { ChartTable } from "./chart-table.js";
import { Plot } from "./plot.js";

/** @typedef {import("../api-types.js").Timeline} Timeline */
/** @typedef {import("../api-types.js").Mark} Mark */
/** @typedef {import("./plot.js").CursorIndex} CursorIndex */
/** @typedef {import("../chart-range.js").Metric} Metric */
/** @typedef {import("../chart-range.js").RequestedChart} RequestedChart */
/** @typedef {import("../event-phase.js").EventDates} EventDates */
/** The answers that a chart is drawn from. @typedef {{ chart: RequestedChart, timeline: Timeline, compared: Timeline | null, url: string }} ShownTimeline */

/**
 * @param {object} props
 * @param {ShownTimeline | null} props.shown
 * @param {EventDates} props.event
 * @param {RequestedChart} props.requested
 * @param {boolean} props.current whether `shown` is of the requested range; if not, its answer has not arrived
 * @param {boolean} props.failed whether the last load of the timeline failed
 * @param {boolean} props.measured whether the metric has been measured
 * @param {Mark[]} props.marks
 */
export function Chart({ shown, event, requested, current, failed, measured, marks }) {
  const t = texts.value.chart;
  const cursorIndex = useMemo(() => signal(/** @type {number | null} */ (null)), []);
  const query = route.value.query;
  const tableOpen = query.get("table") === "1";
  const cumulative = query.get("cumulative") === "1";
  const metric = requestedMetric();
  // The chart of another range must not stand under the name of this one.
  const drawn = measured && (current || !failed) ? shown : null;
  const model = useMemo(() => drawn && modelOf(drawn, metric, cumulative, marks), [drawn, metric, cumulative, marks]);
  if (phaseOf(event, now.value) === "upcoming" && shown && current && totalOf(shown.timeline, "participants") === 0) {
    return html`
      <section class="chart not-started" aria-labelledby="chart-title">
        <div class="section-head"><h2 id="chart-title">${t.title}</h2></div>
        <p class="readout">${t.notStarted}</p>
      </section>
    `;
  }
  const name = cumulative ? t.nameCumulative(t.metrics[metric]) : t.name(t.by[requested.granularity], t.metrics[metric]);
  const readout = readoutText(model, { metric, cumulative, requested, event, current }, cursorIndex.value);
  return html`
    <section class="chart" aria-labelledby="chart-title" aria-busy=${!current && !failed}>
      <div class="chart-head">
        <h2 id="chart-title">${name}</h2>
        <${RangeSteps} chart=${requested} event=${event} timeline=${current ? (shown?.timeline ?? null) : null} />
        <${RangeChoice} chart=${requested} event=${event} />
      </div>
      ${failed && html`<p class="note" role="status">${current ? t.failed : t.failedView(t.views[requested.view])}</p>`}
      ${(current || !failed) && html`<p class=${cursorIndex.value !== null && model ? "readout at-cursor" : "readout"}>${measured ? readout : t.notMeasured}</p>`}
      <div class="plot-container">${model && html`<${Plot} model=${model} cursorIndex=${cursorIndex} name=${name} valueText=${readout} />`}</div>
      <div class="chart-foot">
        ${model ? html`<${Legend} model=${model} metric=${metric} chart=${drawn?.chart ?? requested} event=${event} />` : html`<ul class="legend" aria-hidden="true"></ul>`}
        <${ChartSwitches} chart=${requested} event=${event} cumulative=${cumulative} />
        <button type="button" class="button quiet small" aria-expanded=${tableOpen} onClick=${() => replaceRoute(hrefWith("table", tableOpen ? null : "1"))}>
          ${tableOpen ? t.hideTable : t.showTable}
        </button>
      </div>
      ${model && html`<${ChartMarks} marks=${model.marks} />`}
      ${tableOpen && model && html`<${ChartTable} timeline=${model.timeline} metric=${metric} columns=${columnsOf(model, metric, cumulative)} />`}
    </section>
  `;
}

/**
 * What is computed once for each answer, and not with each rendering.
 * @typedef {import("./plot.js").PlotModel & { comparedTimeline: Timeline | null, total: number | null, peak: number, reasons: Set<string> }} ChartModel
 */

/** @param {ShownTimeline} shown @param {Metric} metric @param {boolean} cumulative @param {Mark[]} marks @returns {ChartModel} */
function modelOf({ timeline, compared }, metric, cumulative, marks) {
  const seriesOf = cumulative ? cumulativeSeries : bucketSeries;
  const values = seriesOf(timeline, metric);
  return {
    timeline,
    values,
    incomplete: timeline.dataPoints.map(({ complete }) => !complete),
    comparedTimeline: compared,
    compared: compared && seriesOf(compared, metric),
    marks: placeMarks(marks, timeline),
    line: cumulative || metric === "participationRate",
    percent: metric === "participationRate",
    total: totalOf(timeline, metric),
    peak: peakOf(cumulative ? bucketSeries(timeline, metric) : values),
    reasons: new Set(values.map((value, index) => (value && incompleteReason(timeline, index)) || "")),
  };
}

/** @typedef {{ metric: Metric, cumulative: boolean, requested: RequestedChart, event: EventDates, current: boolean }} ReadoutContext */

/** The figures of the bucket under the cursor, else a summary of the chart. Keeps its place while nothing is loaded. @param {ChartModel | null} model @param {ReadoutContext} context @param {number | null} index */
function readoutText(model, context, index) {
  if (!context.current) return texts.value.chart.loadingView(texts.value.chart.views[context.requested.view]);
  if (!model) return "";
  return index !== null && index < model.values.length ? pointText(model, context, index) : summaryText(model, context);
}

/** @param {ChartModel} model @param {ReadoutContext} context @param {number} index */
function pointText(model, { metric, cumulative }, index) {
  const t = texts.value.chart;
  const figure = (/** @type {number | null | undefined} */ value) => figureText(metric, value);
  const { timeline, values, comparedTimeline, compared } = model;
  const when = formatBucket(timeline.dataPoints[index]?.timestamp ?? "", timeline.granularity);
  const shown = figure(values[index]);
  const parts = [t.point(when, cumulative ? t.pointCumulative(shown) : shown)];
  const before = comparedTimeline?.dataPoints[index];
  if (before) parts.push(t.pointBefore(t.point(formatBucket(before.timestamp, timeline.granularity), figure(compared?.[index]))));
  const incomplete = incompleteReason(timeline, index);
  if (incomplete) parts.push(incomplete === "filling" ? t.incompleteFull : t.partly);
  for (const { mark, from, to } of model.marks) if (from <= index && index <= to) parts.push(mark.text[lang.value]);
  return parts.join(" · ");
}

/** @param {ChartModel} model @param {ReadoutContext} context */
function summaryText({ timeline, comparedTimeline, total, peak }, { metric, requested, event }) {
  const t = texts.value.chart;
  const span = requested.offset < 0 ? t.spanOf(rangeText(requested, event)) : t.span[requested.view];
  if (!total) return [t.summaryEmpty[metric](span), comparison(0, metric, comparedTimeline, requested, event)].filter(Boolean).join(" ");
  const sentences = [
    t.summary[metric](span, metric === "participationRate" ? formatPercent(total) : formatCount(total)),
    peakText(timeline, metric, peak),
    comparison(total, metric, comparedTimeline, requested, event),
    // An event that has not begun has no trend yet, and one that has ended has none any more.
    metric === "participants" && requested.offset === 0 && isOngoing(event, now.value) && !comparedTimeline && timeline.trend && t.trend[timeline.trend.direction],
    timeline.period?.notKept && t.notKeptNote,
  ];
  return sentences.filter(Boolean).join(" ");
}

/** The bucket with the most. Of a rate the largest says nothing: it is that of the fewest views. @param {Timeline} timeline @param {Metric} metric @param {number} peak its index */
function peakText(timeline, metric, peak) {
  if (metric === "participationRate") return null;
  const point = timeline.dataPoints[peak];
  return point ? texts.value.chart.peakOf[metric](formatBucket(point.timestamp, timeline.granularity), formatCount(point[metric] ?? 0)) : null;
}

/** How the total differs from that of the range before. @param {number} total @param {Metric} metric @param {Timeline | null} before @param {RequestedChart} chart @param {EventDates} event */
function comparison(total, metric, before, chart, event) {
  if (!before) return null;
  const t = texts.value.chart;
  const range = rangeBeforeText(chart, event);
  const base = totalOf(before, metric);
  if (!base) return total ? t.noneBefore(range) : t.same(range);
  const change = ((total - base) / base) * 100;
  if (change === 0) return t.same(range);
  return (change > 0 ? t.more : t.fewer)(range, formatChange(change));
}

/** @param {ChartModel} model @param {Metric} metric @param {boolean} cumulative @returns {import("./chart-table.js").Column[]} */
function columnsOf({ timeline, comparedTimeline, compared, values }, metric, cumulative) {
  const t = texts.value.chart;
  const name = t.metrics[metric];
  const columns = [{ name: cumulative ? t.nameCumulative(name) : name, series: values }];
  if (comparedTimeline && compared) columns.push({ name: t.earlier, series: compared });
  if (metric === "participants" && !cumulative) {
    columns.push({ name: t.cumulativeFull, series: timeline.dataPoints.map((point) => point.cumulativeParticipants) });
  }
  return columns;
}

/** @param {{ model: ChartModel, metric: Metric, chart: RequestedChart, event: EventDates }} props */
function Legend({ model, metric, chart, event }) {
  const t = texts.value.chart;
  const key = model.line ? "line" : "bars";
  return html`
    <ul class="legend" aria-hidden="true">
      <li><span class="legend-key ${key}"></span>${model.compared ? rangeText(chart, event) : t.metrics[metric]}</li>
      ${model.compared && html`<li><span class="legend-key compared"></span>${rangeBeforeText(chart, event)}</li>`}
      ${model.reasons.has("filling") && html`<li><span class="legend-key hatched ${key}"></span>${t.filling}</li>`}
      ${model.reasons.has("partly") && html`<li><span class="legend-key hatched ${key}"></span>${t.partly}</li>`}
      ${model.marks.some(({ mark }) => mark.kind === "channel-outage") && html`<li><span class="legend-key outage"></span>${t.outage}</li>`}
    </ul>
  `;
}

/**
 * Participation over time: bars for each bucket, a line for the total so far. uPlot draws on a canvas, which nobody can
 * hear; the sentence above it and the table below it say the same.
 *
 * The x axis counts buckets, not seconds: a day with 23 hours is then one bar like any other, and labels are the names
 * of the buckets as the answer gives them.
 */
import { signal } from "../vendor/signals.js";
import { useEffect, useMemo, useRef } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { bucket, clock, count, dayOfMonth } from "../format.js";
import { addressWith, lang, place, words, zone } from "../state.js";
import { Num } from "./number.js";

/** @typedef {import("../shapes.js").Timeline} Timeline */
/** @typedef {import("../shapes.js").Point} Point */
/** @typedef {"2h" | "48h" | "30d" | "all"} View */

export const VIEWS = /** @type {const} */ (["2h", "48h", "30d", "all"]);

const HEIGHT_PX = 220;
const HEIGHT_WIDE_PX = 300;
const NARROW_PX = 520;
/** Room for the second half of a label under the last bar. */
const LABEL_HALF_PX = 18;

const dark = matchMedia("(prefers-color-scheme: dark)");

/**
 * @param {object} props
 * @param {Timeline | null} props.timeline
 * @param {View} props.view what is asked for
 * @param {View} props.shownView what is shown until the answer is there
 * @param {boolean} props.failed
 */
export function Chart({ timeline, view, shownView, failed }) {
  const w = words.value.chart;
  const pointed = useMemo(() => signal(/** @type {number | null} */ (null)), []);
  const table = place.value.query.get("table") === "1";
  const granularity = /** @type {keyof typeof w.bars} */ (timeline?.granularity ?? "hourly");
  const points = timeline?.dataPoints ?? [];
  const last = points[points.length - 1];
  const filling = points.some((point) => !point.complete);
  return html`
    <section class="card chart" aria-labelledby="chart-title" aria-busy=${view !== shownView}>
      <div class="section-head">
        <h2 id="chart-title">${w.title}</h2>
        <nav class="segments" aria-label=${w.view}>
          ${VIEWS.map(
            (name) => html`<a
              href=${addressWith("view", name === "48h" ? null : name)}
              data-settle
              aria-current=${name === view ? "true" : undefined}
              >${w.views[name]}</a
            >`,
          )}
        </nav>
      </div>
      ${failed && html`<p class="note" role="status">${w.failed}</p>`}
      ${timeline && html`<${Readout} timeline=${timeline} view=${shownView} pointed=${pointed} />`}
      <div class="plot-room">${points.length > 0 && html`<${Plot} timeline=${timeline} pointed=${pointed} />`}</div>
      <div class="chart-foot">
        <ul class="legend" aria-hidden="true">
          <li><span class="key bars"></span>${w.bars[granularity] ?? w.participants}</li>
          ${filling && html`<li><span class="key hatched"></span>${w.filling}</li>`}
          <li><span class="key line"></span>${w.cumulative} ${last && html`<${Num} value=${last.cumulativeParticipants} format=${count} />`}</li>
        </ul>
        ${points.length > 0 &&
        html`<a class="button quiet small" role="button" aria-expanded=${table} href=${addressWith("table", table ? null : "1")} data-settle>
          ${table ? w.hideTable : w.showTable}
        </a>`}
      </div>
      ${table && points.length > 0 && html`<${Table} timeline=${timeline} />`}
    </section>
  `;
}

/** The chart in a sentence; while a bucket is pointed at, that bucket. @param {{ timeline: Timeline, view: View, pointed: import("../vendor/signals.js").Signal<number | null> }} props */
function Readout({ timeline, view, pointed }) {
  const w = words.value.chart;
  const point = pointed.value === null ? undefined : timeline.dataPoints[pointed.value];
  if (point) {
    const text = w.point(bucket(point.timestamp, timeline.granularity), count(point.participants), count(point.cumulativeParticipants));
    return html`<p class="readout pointed">${text}${point.complete ? "" : ` · ${w.stillFilling}`}</p>`;
  }
  return html`<p class="readout">${sentence(timeline, view)}</p>`;
}

/** @param {Timeline} timeline @param {View} view */
function sentence(timeline, view) {
  const w = words.value.chart;
  const points = timeline.dataPoints;
  const sum = points.reduce((all, point) => all + point.participants, 0);
  if (sum === 0) return w.quiet(w.span[view]);
  const most = points.reduce((best, point) => (point.participants > best.participants ? point : best));
  const when = bucket(most.timestamp, timeline.granularity);
  const trend = timeline.trend && w.trend[timeline.trend.direction];
  return [w.summary(w.span[view], count(sum), when, count(most.participants)), trend].filter(Boolean).join(" ");
}

/** @param {{ timeline: Timeline }} props */
function Table({ timeline }) {
  const w = words.value.chart;
  return html`
    <div class="chart-table" tabindex="0" role="region" aria-label=${w.tableCaption}>
      <table>
        <caption class="sr-only">
          ${w.tableCaption}
        </caption>
        <thead>
          <tr>
            <th scope="col">${w.time}</th>
            <th scope="col" class="figure">${w.participants}</th>
            <th scope="col" class="figure">${w.cumulativeFull}</th>
          </tr>
        </thead>
        <tbody>
          ${[...timeline.dataPoints].reverse().map(
            (point) => html`<tr key=${point.timestamp}>
              <th scope="row">
                ${bucket(point.timestamp, timeline.granularity)}${!point.complete && html` <small>${w.filling}</small>`}
              </th>
              <td class="figure">${count(point.participants)}</td>
              <td class="figure">${count(point.cumulativeParticipants)}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
  `;
}

/** The canvas. @param {{ timeline: Timeline, pointed: import("../vendor/signals.js").Signal<number | null> }} props */
function Plot({ timeline, pointed }) {
  const room = useRef(/** @type {HTMLElement | null} */ (null));
  const plot = useRef(/** @type {import("../vendor/uplot.js").default | null} */ (null));
  const shown = useRef(timeline);
  shown.current = timeline;

  useEffect(() => {
    const element = /** @type {HTMLElement} */ (room.current);
    let gone = false;
    const draw = async () => {
      // Fetched when the first chart is drawn: the numbers above it need not wait for 50 kB.
      const { default: uPlot } = await import("../vendor/uplot.js");
      if (gone) return;
      plot.current?.destroy();
      plot.current = new uPlot(options(uPlot, element, () => shown.current, pointed), columns(shown.current), element);
    };
    const resize = new ResizeObserver(() => plot.current?.setSize(sizeOf(element)));
    resize.observe(element);
    dark.addEventListener("change", draw);
    draw();
    return () => {
      gone = true;
      resize.disconnect();
      dark.removeEventListener("change", draw);
      plot.current?.destroy();
      plot.current = null;
      pointed.value = null;
    };
  }, []);

  useEffect(() => plot.current?.setData(columns(timeline)), [timeline, lang.value, zone.value]);

  return html`<div class="plot" ref=${room} aria-hidden="true"></div>`;
}

/** @param {Timeline} timeline @returns {any} */
function columns({ dataPoints }) {
  return [
    dataPoints.map((_, index) => index),
    dataPoints.map((point) => (point.complete ? point.participants : null)),
    dataPoints.map((point) => (point.complete ? null : point.participants)),
    dataPoints.map((point) => point.cumulativeParticipants),
  ];
}

/** @param {HTMLElement} element */
const sizeOf = (element) => ({
  width: element.clientWidth,
  height: element.clientWidth < NARROW_PX ? HEIGHT_PX : HEIGHT_WIDE_PX,
});

/**
 * @param {typeof import("../vendor/uplot.js").default} uPlot
 * @param {HTMLElement} element
 * @param {() => Timeline} timeline
 * @param {import("../vendor/signals.js").Signal<number | null>} pointed
 * @returns {import("uplot").Options}
 */
function options(uPlot, element, timeline, pointed) {
  const style = getComputedStyle(element);
  const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  const font = `12px ${style.fontFamily}`;
  const bars = uPlot.paths.bars?.({ size: [0.72, 28], radius: 0.18 });
  const hatch = hatching(colour("--accent"));
  return {
    ...sizeOf(element),
    padding: [8, () => (timeline().granularity === "daily" ? LABEL_HALF_PX : 6), 0, 0],
    legend: { show: false },
    scales: {
      x: { time: false, range: (_, min, max) => [min - 0.6, max + 0.6] },
      people: { range: (_, __, max) => [0, Math.max(4, max * 1.15)] },
      sum: {
        // The line has its own height and no axis: its last value stands in the legend. From nothing, it starts at the
        // ground; else it floats in the upper part, so that it is not read against the bars' axis.
        range: (_, min, max) => {
          if (min === 0) return [0, Math.max(1, max * 1.08)];
          const span = max - min || Math.max(1, max);
          return [min - span * 0.35, max + span * 0.15];
        },
      },
    },
    axes: [
      {
        stroke: colour("--text-2"),
        font,
        size: 26,
        gap: 6,
        grid: { show: false },
        ticks: { show: false },
        splits: (u) => labelled(timeline(), u.width < NARROW_PX),
        values: (_, splits) => splits.map((index) => label(timeline(), index)),
      },
      {
        scale: "people",
        stroke: colour("--text-2"),
        font,
        size: (_, values) => 10 + 7.5 * Math.max(1, ...(values ?? []).map((value) => value.length)),
        gap: 6,
        space: 40,
        incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6],
        grid: { stroke: colour("--line"), width: 1 },
        ticks: { show: false },
        values: (_, splits) => splits.map((value) => count(value)),
      },
    ],
    series: [
      {},
      { scale: "people", paths: bars, fill: colour("--accent"), width: 0, points: { show: false } },
      { scale: "people", paths: bars, fill: (u) => hatch(u.ctx), stroke: colour("--accent"), width: 1, points: { show: false } },
      { scale: "sum", stroke: colour("--line-ink"), width: 2, points: { show: false } },
    ],
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    hooks: {
      setCursor: [
        (u) => {
          const index = u.cursor.left !== undefined && u.cursor.left >= 0 ? (u.cursor.idx ?? null) : null;
          pointed.value = index;
        },
      ],
      ready: [(u) => followFinger(u)],
      draw: [(u) => lastDot(u, colour("--line-ink"), colour("--card"))],
    },
  };
}

/** uPlot follows a mouse; a finger that slides sideways should do as well. @param {import("uplot")} u */
function followFinger(u) {
  const at = (/** @type {PointerEvent} */ event) => {
    if (event.pointerType === "mouse") return;
    const box = u.over.getBoundingClientRect();
    u.setCursor({ left: event.clientX - box.left, top: event.clientY - box.top });
  };
  u.over.addEventListener("pointerdown", at);
  u.over.addEventListener("pointermove", at);
}

/** A dot where the line ends: this is now. @param {import("uplot")} u @param {string} ink @param {string} paper */
function lastDot(u, ink, paper) {
  const sums = u.data[3] ?? [];
  const value = sums[sums.length - 1];
  if (value === null || value === undefined) return;
  const ratio = devicePixelRatio;
  const x = u.valToPos(sums.length - 1, "x", true);
  const y = u.valToPos(value, "sum", true);
  u.ctx.beginPath();
  u.ctx.arc(x, y, 4 * ratio, 0, 2 * Math.PI);
  u.ctx.fillStyle = ink;
  u.ctx.fill();
  u.ctx.lineWidth = 2 * ratio;
  u.ctx.strokeStyle = paper;
  u.ctx.stroke();
}

/** @param {string} ink @returns {(context: CanvasRenderingContext2D) => CanvasPattern | string} */
function hatching(ink) {
  const size = Math.round(6 * devicePixelRatio);
  const tile = document.createElement("canvas");
  tile.width = tile.height = size;
  const pen = /** @type {CanvasRenderingContext2D} */ (tile.getContext("2d"));
  pen.strokeStyle = ink;
  pen.lineWidth = size / 4;
  for (const shift of [-size, 0, size]) {
    pen.moveTo(shift, size);
    pen.lineTo(shift + size, 0);
  }
  pen.stroke();
  return (context) => context.createPattern(tile, "repeat") ?? ink;
}

/** Which buckets get a label: round hours, else evenly spaced back from the newest. @param {Timeline} timeline @param {boolean} narrow */
function labelled({ dataPoints, granularity }, narrow) {
  const indexes = dataPoints.map((_, index) => index);
  if (granularity === "minute") {
    const step = narrow ? 30 : 15;
    return indexes.filter((index) => minuteOfDay(dataPoints[index]) % step === 0);
  }
  if (granularity === "hourly" && dataPoints.length <= 72) {
    const step = (narrow ? 12 : 6) * 60;
    return indexes.filter((index) => minuteOfDay(dataPoints[index]) % step === 0);
  }
  const step = Math.max(1, Math.ceil(dataPoints.length / (narrow ? 5 : 10)));
  return indexes.filter((index) => (dataPoints.length - 1 - index) % step === 0);
}

/** @param {Timeline} timeline @param {number} index */
function label({ dataPoints, granularity }, index) {
  const point = dataPoints[index];
  if (!point) return "";
  if (granularity === "minute") return clock(point.timestamp);
  if (granularity === "hourly" && minuteOfDay(point) !== 0) return clock(point.timestamp);
  return dayOfMonth(point.timestamp);
}

/** @param {Point | undefined} point */
function minuteOfDay(point) {
  if (!point) return -1;
  const [hours = 0, minutes = 0] = (clock(point.timestamp).match(/\d+/g) ?? []).map(Number);
  return hours * 60 + minutes;
}

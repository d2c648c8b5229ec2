/**
 * The canvas of the timeline chart, drawn by uPlot with one axis: bars for each bucket or a line, a second line for the
 * range that they are compared with, and marks for what happened.
 *
 * The x axis counts buckets, not seconds. A day with 23 hours is then a bar like any other, and the labels are the bucket
 * starts in the answer. For the keyboard and for screen readers the chart is a slider over its buckets.
 */
import { useEffect, useRef } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { formatCount, formatMonthDay, formatPercent, formatTime } from "../format.js";
import { lang, theme, timeZone } from "../state.js";
import { colourOf } from "../theme.js";

/** @typedef {import("../api-types.js").Timeline} Timeline */
/** @typedef {import("../chart-series.js").Series} Series */
/** @typedef {import("../vendor/signals.js").Signal<number | null>} CursorIndex the bucket under the pointer */
/**
 * @typedef {object} PlotModel
 * @property {Timeline} timeline whose buckets the x axis counts
 * @property {Series} values
 * @property {boolean[]} incomplete for each bucket, whether it is drawn as not complete
 * @property {Series | null} compared the second line
 * @property {import("../chart-series.js").PlacedMark[]} marks
 * @property {boolean} line a line and not bars
 * @property {boolean} percent
 */

const HEIGHT_PX = 220;
const HEIGHT_WIDE_PX = 300;
const NARROW_PX = 520;
/** The room of the chart on paper by `print.css`, whatever the width of the window is. */
const PRINTED_PX = { width: 990, height: 220 };
/** With more buckets than this, a line has no dot for each. */
const DOTS_MAX = 62;
/** With more buckets than this, bars are so narrow that nobody sees round corners, and those in one px as one. 2,000 round ones took 0.1 s to draw. */
const ROUND_BARS_MAX = 200;

/**
 * @param {object} props
 * @param {PlotModel} props.model
 * @param {CursorIndex} props.cursorIndex set while the pointer or the keyboard is on the chart
 * @param {string} props.name
 * @param {string} props.valueText what the chart or its bucket under the cursor shows, in words
 */
export function Plot({ model, cursorIndex, name, valueText }) {
  const container = useRef(/** @type {HTMLElement | null} */ (null));
  const plot = useRef(/** @type {import("../vendor/uplot.js").default | null} */ (null));
  const latest = useRef(model);
  latest.current = model;

  useEffect(() => {
    const element = /** @type {HTMLElement} */ (container.current);
    let unmounted = false;
    const draw = async () => {
      // Loaded when the first chart is drawn, so that the figures above it do not wait for 50 kB.
      const { default: uPlot } = await import("../vendor/uplot.js");
      if (unmounted) return;
      plot.current?.destroy();
      plot.current = new uPlot(plotOptions(uPlot, element, () => latest.current, cursorIndex), plotData(latest.current), element);
    };
    const resize = new ResizeObserver(() => plot.current?.setSize(sizeOf(element)));
    resize.observe(element);
    const beforePrint = () => plot.current?.setSize(PRINTED_PX);
    const afterPrint = () => plot.current?.setSize(sizeOf(element));
    addEventListener("beforeprint", beforePrint);
    addEventListener("afterprint", afterPrint);
    draw();
    return () => {
      unmounted = true;
      removeEventListener("beforeprint", beforePrint);
      removeEventListener("afterprint", afterPrint);
      resize.disconnect();
      plot.current?.destroy();
      plot.current = null;
      cursorIndex.value = null;
    };
  }, [theme.value, model.line]);

  useEffect(() => plot.current?.setData(plotData(model)), [model, lang.value, timeZone.value]);

  const last = model.values.length - 1;
  const moveTo = (/** @type {number | null} */ index) => {
    const u = plot.current;
    if (!u) return;
    const left = index === null ? -10 : u.valToPos(Math.min(last, Math.max(0, index)), "x");
    u.setCursor({ left, top: index === null ? -10 : 0 });
  };
  const handleKey = (/** @type {KeyboardEvent} */ event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const current = cursorIndex.peek();
    const targets = { ArrowLeft: (current ?? last + 1) - 1, ArrowRight: (current ?? -1) + 1, Home: 0, End: last, Escape: null };
    if (!Object.hasOwn(targets, event.key)) return;
    event.preventDefault();
    moveTo(targets[/** @type {keyof typeof targets} */ (event.key)]);
  };

  return html`<div
    class="plot"
    data-theme=${theme.value}
    ref=${container}
    role="slider"
    tabindex="0"
    aria-label=${name}
    aria-orientation="horizontal"
    aria-valuemin="0"
    aria-valuemax=${last}
    aria-valuenow=${cursorIndex.value ?? last}
    aria-valuetext=${valueText}
    onKeyDown=${handleKey}
    onBlur=${() => moveTo(null)}
  ></div>`;
}

/** One array for each series: x, complete buckets, incomplete buckets, the range before. @param {PlotModel} model @returns {any} */
function plotData({ values, incomplete, compared, line }) {
  return [
    values.map((_, index) => index),
    values.map((value, index) => (incomplete[index] ? null : value)),
    values.map((value, index) => {
      // A bar without height would still have an outline. A line goes on from the last complete bucket.
      if (incomplete[index]) return line ? value : value || null;
      return line && incomplete[index + 1] ? value : null;
    }),
    values.map((_, index) => compared?.[index] ?? null),
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
 * @param {() => PlotModel} model
 * @param {CursorIndex} cursorIndex
 * @returns {import("uplot").Options}
 */
function plotOptions(uPlot, element, model, cursorIndex) {
  const colours = coloursOf(element);
  const font = `12px ${getComputedStyle(element).fontFamily}`;
  return {
    ...sizeOf(element),
    padding: [14, 14, 0, 0],
    legend: { show: false },
    scales: {
      x: { time: false, range: (_, min, max) => [min - 0.6, max + 0.6] },
      y: { range: (_, __, max) => [0, Math.max(model().percent ? 1 : 4, max * 1.12)] },
    },
    axes: [
      {
        stroke: colours.label,
        font,
        size: 26,
        gap: 6,
        grid: { show: false },
        ticks: { show: false },
        splits: (u) => labelledIndexes(model().timeline, u.width < NARROW_PX),
        values: (_, splits) => splits.map((index) => bucketLabel(model().timeline, index)),
      },
      valueAxis(() => model().percent, colours, font),
    ],
    series: [{}, ...(model().line ? lineSeries(colours, model) : barSeries(uPlot, colours, model)), comparedSeries(colours)],
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    hooks: {
      setCursor: [
        (u) => {
          const index = u.cursor.left !== undefined && u.cursor.left >= 0 ? (u.cursor.idx ?? null) : null;
          cursorIndex.value = index;
        },
      ],
      ready: [(u) => moveCursorWithTouch(u)],
      drawClear: [(u) => drawOutages(u, model().marks, colours)],
      draw: [(u) => drawMarks(u, model().marks, colours)],
    },
  };
}

/** @typedef {ReturnType<typeof coloursOf>} Colours */

/** The colours of the shown theme. @param {HTMLElement} element */
const coloursOf = (element) => ({
  accent: colourOf(element, "--accent"),
  area: colourOf(element, "--accent-soft"),
  label: colourOf(element, "--text-secondary"),
  grid: colourOf(element, "--border"),
  compared: colourOf(element, "--chart-line"),
  surface: colourOf(element, "--surface"),
  warning: colourOf(element, "--warning"),
  outage: colourOf(element, "--warning-soft"),
});

/** Bars, hatched for incomplete buckets. @param {typeof import("../vendor/uplot.js").default} uPlot @param {Colours} colours @param {() => PlotModel} model @returns {import("uplot").Series[]} */
function barSeries(uPlot, { accent }, model) {
  const bars = /** @type {import("uplot").Series.BarsPathBuilderFactory} */ (uPlot.paths.bars);
  const round = bars({ size: BAR_SIZE, radius: 0.18 });
  const paths = /** @type {typeof round} */ ((...drawing) => (model().values.length > ROUND_BARS_MAX ? narrowBars : round)(...drawing));
  const hatchFill = hatchPattern(accent);
  return [
    { scale: "y", paths, fill: accent, width: 0, points: { show: false } },
    { scale: "y", paths, fill: (u) => hatchFill(u.ctx), stroke: accent, width: 1, points: { show: false } },
  ];
}

/** A line, dashed to incomplete buckets. @param {Colours} colours @param {() => PlotModel} model @returns {import("uplot").Series[]} */
function lineSeries({ accent, area, surface }, model) {
  const points = { show: () => model().percent && model().values.length <= DOTS_MAX, size: 6, fill: surface, stroke: accent, width: 2 };
  return [
    { scale: "y", stroke: accent, width: 2, fill: () => (model().percent ? "transparent" : area), points },
    { scale: "y", stroke: accent, width: 2, dash: [4, 4], points },
  ];
}

/** The part of a bucket's width that its bar takes, and its greatest width in px. @type {[number, number]} */
const BAR_SIZE = [0.72, 28];

/**
 * The path of thousands of bars: a column of whole pixels for each bar, and only the highest of those that share one.
 * @type {import("uplot").Series.PathBuilder}
 */
function narrowBars(u, series, first, last) {
  const values = /** @type {(number | null)[]} */ (u.data[series]);
  const path = new Path2D();
  const [left, step] = [u.valToPos(0, "x", true), u.valToPos(1, "x", true) - u.valToPos(0, "x", true)];
  const [bottom, height] = [u.valToPos(0, "y", true), u.valToPos(0, "y", true) - u.valToPos(1, "y", true)];
  const width = Math.max(1, Math.round(step * BAR_SIZE[0]));
  let [column, highest] = [-Infinity, 0];
  const add = () => highest > 0 && path.rect(column, bottom - highest * height, width, highest * height);
  for (let index = first; index <= last; index += 1) {
    const value = values[index];
    if (!value) continue;
    const at = Math.round(left + index * step - width / 2);
    if (at !== column) add();
    highest = at === column ? Math.max(highest, value) : value;
    column = at;
  }
  add();
  return { stroke: path, fill: path, clip: null, band: null, flags: 0 };
}

/** @param {Colours} colours @returns {import("uplot").Series} */
const comparedSeries = ({ compared }) => ({ scale: "y", stroke: compared, width: 1.5, points: { show: false } });

/** @param {() => boolean} isPercent @param {Colours} colours @param {string} font @returns {import("uplot").Axis} */
const valueAxis = (isPercent, { label, grid }, font) => ({
  scale: "y",
  stroke: label,
  font,
  size: (_, values) => 10 + 7.5 * Math.max(1, ...(values ?? []).map((value) => value.length)),
  gap: 6,
  space: 40,
  incrs: () => (isPercent() ? STEPS : STEPS.filter((step) => step >= 1)),
  grid: { stroke: grid, width: 1 },
  ticks: { show: false },
  values: (_, splits) => splits.map((value) => (isPercent() ? formatPercent(value) : formatCount(value))),
});

/** 0.01, 0.02, 0.05, 0.1, ... up to 500 million. */
const STEPS = Array.from({ length: 11 }, (_, power) => [1, 2, 5].map((step) => Number((step * 10 ** (power - 2)).toFixed(2)))).flat();

/** Move the cursor with a finger that slides sideways; uPlot itself follows only a mouse. @param {import("uplot")} u */
function moveCursorWithTouch(u) {
  const moveCursor = (/** @type {PointerEvent} */ event) => {
    if (event.pointerType === "mouse") return;
    const box = u.over.getBoundingClientRect();
    u.setCursor({ left: event.clientX - box.left, top: event.clientY - box.top });
  };
  u.over.addEventListener("pointerdown", moveCursor);
  u.over.addEventListener("pointermove", moveCursor);
}

/** Draw a band behind the bars for each time in which a channel did not answer. @param {import("uplot")} u @param {PlotModel["marks"]} marks @param {Colours} colours */
function drawOutages(u, marks, { outage }) {
  const { top, height } = u.bbox;
  for (const { mark, from, to } of marks) {
    if (mark.kind !== "channel-outage") continue;
    const left = u.valToPos(from - 0.5, "x", true);
    u.ctx.fillStyle = outage;
    u.ctx.fillRect(left, top, u.valToPos(to + 0.5, "x", true) - left, height);
  }
}

const MARK_RADIUS_PX = 3.5;

/** Draw a thin line with a dot on top for each moment; a ring for what failed. @param {import("uplot")} u @param {PlotModel["marks"]} marks @param {Colours} colours */
function drawMarks(u, marks, { label, warning, surface }) {
  const { ctx } = u;
  const ratio = devicePixelRatio;
  const bottom = u.bbox.top + u.bbox.height;
  ctx.save();
  for (const { mark, from } of marks) {
    if (mark.kind === "channel-outage") continue;
    const failed = mark.kind === "distribution-failed";
    const x = Math.round(u.valToPos(from, "x", true));
    const y = u.bbox.top - 6 * ratio;
    ctx.lineWidth = ratio;
    ctx.strokeStyle = ctx.fillStyle = failed ? warning : label;
    ctx.setLineDash([2 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.lineTo(x, bottom);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.beginPath();
    ctx.arc(x, y, MARK_RADIUS_PX * ratio, 0, 2 * Math.PI);
    if (failed) {
      ctx.fillStyle = surface;
      ctx.lineWidth = 2 * ratio;
    }
    ctx.fill();
    ctx.stroke();
  }
  ctx.restore();
}

/** A fill of diagonal lines, for incomplete buckets. @param {string} colour @returns {(context: CanvasRenderingContext2D) => CanvasPattern | string} */
function hatchPattern(colour) {
  const size = Math.round(6 * devicePixelRatio);
  const tile = document.createElement("canvas");
  tile.width = tile.height = size;
  const drawing = /** @type {CanvasRenderingContext2D} */ (tile.getContext("2d"));
  drawing.strokeStyle = colour;
  drawing.lineWidth = size / 4;
  for (const shift of [-size, 0, size]) {
    drawing.moveTo(shift, size);
    drawing.lineTo(shift + size, 0);
  }
  drawing.stroke();
  return (context) => context.createPattern(tile, "repeat") ?? colour;
}

/** Indexes of the buckets with a label: at round times of day, else evenly spaced back from the newest. @param {Timeline} timeline @param {boolean} narrow */
function labelledIndexes({ dataPoints, granularity }, narrow) {
  const labels = narrow ? 5 : 10;
  const evenly = (/** @type {number[]} */ indexes) => {
    const step = Math.max(1, Math.ceil(indexes.length / labels));
    return indexes.filter((_, position) => (indexes.length - 1 - position) % step === 0);
  };
  const indexes = dataPoints.map((_, index) => index);
  const atRoundTimes = (/** @type {number} */ step) => indexes.filter((index) => minuteOfDay(dataPoints[index]?.timestamp) % step === 0);
  if (granularity === "minute" && dataPoints.length <= 180) return atRoundTimes(narrow ? 30 : 15);
  if (granularity === "minute") return evenly(atRoundTimes(60));
  if (granularity === "hourly") return dataPoints.length <= 72 ? atRoundTimes((narrow ? 12 : 6) * 60) : evenly(atRoundTimes(24 * 60));
  return evenly(indexes);
}

/** @param {Timeline} timeline @param {number} index */
function bucketLabel({ dataPoints, granularity }, index) {
  const point = dataPoints[index];
  if (!point) return "";
  if (granularity === "minute") return formatTime(point.timestamp);
  if (granularity === "hourly" && minuteOfDay(point.timestamp) !== 0) return formatTime(point.timestamp);
  return formatMonthDay(point.timestamp);
}

/** Minutes since midnight, from the digits of the bucket start: it has the offset of the chart's time zone. @param {string | undefined} timestamp */
const minuteOfDay = (timestamp) => (timestamp ? digitsAt(timestamp, 11) * 60 + digitsAt(timestamp, 14) : -1);

/** The number of two digits, without a text for each of thousands. @param {string} text @param {number} at */
const digitsAt = (text, at) => (text.charCodeAt(at) - 48) * 10 + text.charCodeAt(at + 1) - 48;

/**
 * The canvas of the timeline chart, drawn by uPlot: bars for each bucket with their axis on the left, and a line for the
 * cumulative total with its axis on the right, in its colour.
 *
 * The x axis counts buckets, not seconds. A day with 23 hours is then a bar like any other, and the labels are the bucket
 * starts in the answer.
 */
import { useEffect, useRef } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { formatCount, formatMonthDay, formatTime } from "../format.js";
import { lang, timeZone } from "../state.js";

/** @typedef {import("../api-types.js").Timeline} Timeline */
/** @typedef {import("../api-types.js").TimelinePoint} TimelinePoint */
/** @typedef {import("../vendor/signals.js").Signal<number | null>} CursorIndex the bucket under the pointer */

const HEIGHT_PX = 220;
const HEIGHT_WIDE_PX = 300;
const NARROW_PX = 520;

const darkScheme = matchMedia("(prefers-color-scheme: dark)");

/** @param {{ timeline: Timeline, cursorIndex: CursorIndex }} props `cursorIndex` is set while the pointer is on the chart */
export function Plot({ timeline, cursorIndex }) {
  const container = useRef(/** @type {HTMLElement | null} */ (null));
  const plot = useRef(/** @type {import("../vendor/uplot.js").default | null} */ (null));
  const latest = useRef(timeline);
  latest.current = timeline;

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
    darkScheme.addEventListener("change", draw);
    draw();
    return () => {
      unmounted = true;
      resize.disconnect();
      darkScheme.removeEventListener("change", draw);
      plot.current?.destroy();
      plot.current = null;
      cursorIndex.value = null;
    };
  }, []);

  useEffect(() => plot.current?.setData(plotData(timeline)), [timeline, lang.value, timeZone.value]);

  return html`<div class="plot" ref=${container} aria-hidden="true"></div>`;
}

/** One array for each series: x, complete buckets, incomplete buckets, cumulative. @param {Timeline} timeline @returns {any} */
function plotData({ dataPoints }) {
  return [
    dataPoints.map((_, index) => index),
    dataPoints.map((point) => (point.complete ? point.participants : null)),
    // A bar without height would still have an outline.
    dataPoints.map((point) => (point.complete ? null : point.participants || null)),
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
 * @param {CursorIndex} cursorIndex
 * @returns {import("uplot").Options}
 */
function plotOptions(uPlot, element, timeline, cursorIndex) {
  const style = getComputedStyle(element);
  const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  const font = `12px ${style.fontFamily}`;
  const bars = uPlot.paths.bars?.({ size: [0.72, 28], radius: 0.18 });
  const hatchFill = hatchPattern(colour("--accent"));
  return {
    ...sizeOf(element),
    padding: [8, 0, 0, 0],
    legend: { show: false },
    scales: {
      x: { time: false, range: (_, min, max) => [min - 0.6, max + 0.6] },
      participants: { range: (_, __, max) => [0, Math.max(4, max * 1.15)] },
      cumulative: {
        range: (_, min, max) => {
          if (min === 0) return [0, Math.max(4, max * 1.08)];
          // Without the participants before the range, which would make the line flat.
          const span = Math.max(4, max - min);
          return [Math.max(0, min - span * 0.35), max + span * 0.15];
        },
      },
    },
    axes: [
      {
        stroke: colour("--text-secondary"),
        font,
        size: 26,
        gap: 6,
        grid: { show: false },
        ticks: { show: false },
        splits: (u) => labelledIndexes(timeline(), u.width < NARROW_PX),
        values: (_, splits) => splits.map((index) => bucketLabel(timeline(), index)),
      },
      { ...countAxis("participants", colour("--text-secondary"), font), grid: { stroke: colour("--border"), width: 1 } },
      { ...countAxis("cumulative", colour("--chart-line"), font), side: 1, grid: { show: false } },
    ],
    series: [
      {},
      { scale: "participants", paths: bars, fill: colour("--accent"), width: 0, points: { show: false } },
      { scale: "participants", paths: bars, fill: (u) => hatchFill(u.ctx), stroke: colour("--accent"), width: 1, points: { show: false } },
      { scale: "cumulative", stroke: colour("--chart-line"), width: 2, points: { show: false } },
    ],
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    hooks: {
      setCursor: [
        (u) => {
          const index = u.cursor.left !== undefined && u.cursor.left >= 0 ? (u.cursor.idx ?? null) : null;
          cursorIndex.value = index;
        },
      ],
      ready: [(u) => moveCursorWithTouch(u)],
      draw: [(u) => drawLastPoint(u, colour("--chart-line"), colour("--surface"))],
    },
  };
}

/** An axis of whole numbers, as wide as its labels. @param {string} scale @param {string} stroke @param {string} font @returns {import("uplot").Axis} */
const countAxis = (scale, stroke, font) => ({
  scale,
  stroke,
  font,
  size: (_, values) => 10 + 7.5 * Math.max(1, ...(values ?? []).map((value) => value.length)),
  gap: 6,
  space: 40,
  incrs: WHOLE_STEPS,
  ticks: { show: false },
  values: (_, splits) => splits.map((value) => formatCount(value)),
});

/** 1, 2, 5, 10, ... up to 500 million. */
const WHOLE_STEPS = Array.from({ length: 9 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

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

/** Draw a dot at the end of the line, which is the current total. @param {import("uplot")} u @param {string} lineColour @param {string} background */
function drawLastPoint(u, lineColour, background) {
  const totals = u.data[3] ?? [];
  const value = totals[totals.length - 1];
  if (value === null || value === undefined) return;
  const ratio = devicePixelRatio;
  const x = u.valToPos(totals.length - 1, "x", true);
  const y = u.valToPos(value, "cumulative", true);
  u.ctx.beginPath();
  u.ctx.arc(x, y, 4 * ratio, 0, 2 * Math.PI);
  u.ctx.fillStyle = lineColour;
  u.ctx.fill();
  u.ctx.lineWidth = 2 * ratio;
  u.ctx.strokeStyle = background;
  u.ctx.stroke();
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
  const indexes = dataPoints.map((_, index) => index);
  if (granularity === "minute") {
    const step = narrow ? 30 : 15;
    return indexes.filter((index) => minuteOfDay(dataPoints[index]) % step === 0);
  }
  if (granularity === "hourly") {
    const step = (dataPoints.length > 72 ? 24 : narrow ? 12 : 6) * 60;
    return indexes.filter((index) => minuteOfDay(dataPoints[index]) % step === 0);
  }
  const step = Math.max(1, Math.ceil(dataPoints.length / (narrow ? 5 : 10)));
  return indexes.filter((index) => (dataPoints.length - 1 - index) % step === 0);
}

/** @param {Timeline} timeline @param {number} index */
function bucketLabel({ dataPoints, granularity }, index) {
  const point = dataPoints[index];
  if (!point) return "";
  if (granularity === "minute") return formatTime(point.timestamp);
  if (granularity === "hourly" && minuteOfDay(point) !== 0) return formatTime(point.timestamp);
  return formatMonthDay(point.timestamp);
}

/** Minutes since midnight in the user's time zone; -1 without a point. @param {TimelinePoint | undefined} point */
function minuteOfDay(point) {
  if (!point) return -1;
  const [hours = 0, minutes = 0] = (formatTime(point.timestamp).match(/\d+/g) ?? []).map(Number);
  return hours * 60 + minutes;
}

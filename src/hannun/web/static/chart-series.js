/** The figures of a timeline that the chart draws: a metric for each bucket, or the sum from the start of the range. Pure. */

/** @typedef {import("./api-types.js").Timeline} Timeline */
/** @typedef {import("./api-types.js").TimelinePoint} TimelinePoint */
/** @typedef {import("./api-types.js").Mark} Mark */
/** @typedef {import("./chart-range.js").Metric} Metric */
/** A bucket that is not known (not kept, or without a denominator) is null, and leaves a gap. @typedef {(number | null)[]} Series */

/** Part of 100, with two decimals; null without a base. @param {number | null} part @param {number | null} base */
const percentOf = (part, base) => (part === null || !base ? null : Math.round((part / base) * 10_000) / 100);

/** @param {Timeline} timeline @param {Metric} metric @returns {Series} */
export function bucketSeries({ dataPoints }, metric) {
  if (metric === "participationRate") return dataPoints.map(({ participants, views }) => percentOf(participants, views));
  return dataPoints.map((point) => point[metric]);
}

/** The sums from the start of the range to the end of each bucket. @param {Timeline} timeline @param {Metric} metric @returns {Series} */
export function cumulativeSeries(timeline, metric) {
  if (metric === "participants") return cumulativeParticipants(timeline);
  if (metric !== "participationRate") return runningSums(bucketSeries(timeline, metric));
  const views = runningSums(bucketSeries(timeline, "views"));
  return cumulativeParticipants(timeline).map((participants, index) => percentOf(participants, views[index] ?? null));
}

/** The service knows the participants also where minutes are not kept. Those before the range are taken off. @param {Timeline} timeline @returns {Series} */
function cumulativeParticipants({ dataPoints, totals }) {
  const last = dataPoints[dataPoints.length - 1]?.cumulativeParticipants ?? null;
  if (last === null || totals?.participants === undefined) return runningSums(dataPoints.map((point) => point.participants));
  const before = last - totals.participants;
  return dataPoints.map(({ cumulativeParticipants }) => (cumulativeParticipants === null ? null : cumulativeParticipants - before));
}

/** A sum is not known any more after a bucket that is not. @param {Series} values @returns {Series} */
function runningSums(values) {
  /** @type {number | null} */
  let sum = 0;
  return values.map((value) => (sum = sum === null || value === null ? null : sum + value));
}

/** The metric over the whole range. @param {Timeline} timeline @param {Metric} metric */
export function totalOf(timeline, metric) {
  if (metric === "participationRate") return percentOf(countOf(timeline, "participants"), countOf(timeline, "views"));
  return countOf(timeline, metric);
}

/** @param {Timeline} timeline @param {Exclude<Metric, "participationRate">} metric */
const countOf = ({ dataPoints, totals }, metric) => totals?.[metric] ?? dataPoints.reduce((all, point) => all + (point[metric] ?? 0), 0);

/** The index of the largest of the values that are known; -1 if all are 0. @param {Series} values */
export const peakOf = (values) => values.reduce((/** @type {number} */ best, value, index) => ((value ?? 0) > (values[best] ?? 0) ? index : best), -1);

/**
 * Why a bucket is not complete: it is "filling" now, or it lies only "partly" in the range.
 * @param {Timeline} timeline
 * @param {number} index
 * @returns {"filling" | "partly" | null}
 */
export function incompleteReason({ dataPoints, period }, index) {
  if (dataPoints[index]?.complete !== false) return null;
  return index === dataPoints.length - 1 && !period?.endDate ? "filling" : "partly";
}

/** A mark with the buckets in which it begins and ends. @typedef {{ mark: Mark, from: number, to: number }} PlacedMark */

/** The marks that lie in the buckets of a timeline, oldest first. @param {Mark[]} marks @param {Timeline} timeline @returns {PlacedMark[]} */
export function placeMarks(marks, { dataPoints, period }) {
  const first = dataPoints[0];
  if (!first || marks.length === 0) return [];
  const startMs = Date.parse(first.timestamp);
  const endMs = period?.endDate ? Date.parse(period.endDate) : Infinity;
  return marks
    .map((mark) => ({ mark, fromMs: Date.parse(mark.at), toMs: mark.until ? Date.parse(mark.until) : mark.kind === "channel-outage" ? Infinity : Date.parse(mark.at) }))
    .filter(({ fromMs, toMs }) => toMs >= startMs && fromMs < endMs && fromMs <= Date.now())
    .sort((one, other) => one.fromMs - other.fromMs)
    .map(({ mark, fromMs, toMs }) => ({ mark, from: Math.max(0, bucketAt(dataPoints, fromMs)), to: bucketAt(dataPoints, toMs) }));
}

/** The index of the bucket that holds an instant; -1 before the first. Parses a dozen of 2,000 timestamps. @param {TimelinePoint[]} points oldest first @param {number} ms */
function bucketAt(points, ms) {
  let [before, after] = [-1, points.length];
  while (after - before > 1) {
    const middle = (before + after) >> 1;
    if (Date.parse(/** @type {TimelinePoint} */ (points[middle]).timestamp) <= ms) before = middle;
    else after = middle;
  }
  return before;
}

/** The figures of a metric in words, for the chart and its table. */
import { formatCount, formatPercent } from "./format.js";
import { texts } from "./state.js";

/** @typedef {import("./chart-range.js").Metric} Metric */

/** A figure with its unit; that it is not kept, which is not 0; or that there is none. @param {Metric} metric @param {number | null | undefined} value @returns {string} */
export function figureText(metric, value) {
  const t = texts.value.chart;
  if (value === null || value === undefined) return metric === "participationRate" ? texts.value.none : t.notKept;
  return metric === "participationRate" ? formatPercent(value) : t.figure[metric](formatCount(value));
}

/** The same without a unit, for a table. @param {Metric} metric @param {number | null | undefined} value */
export const cellText = (metric, value) => (typeof value === "number" && metric !== "participationRate" ? formatCount(value) : figureText(metric, value));

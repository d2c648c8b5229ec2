/**
 * Small charts: ROI against break-even and target, a horizontal bar for a share, a sparkline of 24 hours. All stand next to text
 * with the same figures, so that they are hidden from assistive technology.
 *
 * A hatched bar, here and in the timeline chart, is not final: expected revenue, or an incomplete bucket.
 */
import { formatSignedPercent } from "../format.js";
import { html } from "../html.js";
import { texts } from "../state.js";

/** A share as a CSS percentage, limited to 0 to 100 %. @param {number} part */
const cssPercent = (part) => `${(Math.min(1, Math.max(0, part)) * 100).toFixed(2)}%`;

/**
 * The scale of all ROI bars, in percent, so that bars on different cards can be compared: from nothing came back to three
 * times the investment. What is beyond is cut, and marked.
 */
const ROI_SCALE = { low: -100, high: 200 };

/**
 * Whether a target has a mark. A mark at the end of the scale would stand for any target beyond it, and a bar that is cut
 * there would seem to reach it.
 * @param {import("../api-types.js").Figure} target
 * @returns {target is number}
 */
export const isOnScale = (target) => target !== null && target !== undefined && target <= ROI_SCALE.high;

/** @param {number} roi */
const roiPosition = (roi) => (roi - ROI_SCALE.low) / (ROI_SCALE.high - ROI_SCALE.low);

/** @typedef {{ roi: number, target: number | null | undefined, expected: boolean }} ShownRoi */

/** The track of an ROI with its scale in words. @param {ShownRoi} shown */
export function RoiBar(shown) {
  const t = texts.value.tile;
  return html`
    <div class="roi-bar" aria-hidden="true">
      ${isOnScale(shown.target) && html`<div class="roi-labels above"><${RoiLabel} at=${shown.target} text=${t.target} /></div>`}
      ${roiTrack(shown)}
      <div class="roi-labels">
        <${RoiLabel} at=${ROI_SCALE.low} text=${formatSignedPercent(ROI_SCALE.low)} />
        <${RoiLabel} at=${0} text=${t.breakEvenMark} />
        <${RoiLabel} at=${ROI_SCALE.high} text=${formatSignedPercent(ROI_SCALE.high)} />
      </div>
    </div>
  `;
}

/**
 * The ROI as the money that came back: the bar starts at the left with nothing, and passes the marks of what is reached.
 * Of expected money nothing has come back: it has a mark and no bar.
 * @param {ShownRoi} shown
 */
export function roiTrack({ roi, target, expected }) {
  const colour = expected ? "expected" : roi < 0 ? "loss" : "gain";
  return html`
    <div class="roi-track" aria-hidden="true">
      ${expected
        ? html`<span class="roi-mark expected hatched" style=${{ "--at": cssPercent(roiPosition(roi)) }}></span>`
        : html`<span class="roi-fill ${colour}" style=${{ "--at": cssPercent(roiPosition(roi)) }}></span>`}
      ${roi > ROI_SCALE.high && html`<span class="roi-beyond ${colour}">›</span>`}
      <span class="roi-mark zero" style=${{ "--at": cssPercent(roiPosition(0)) }}></span>
      ${isOnScale(target) && html`<span class="roi-mark target" style=${{ "--at": cssPercent(roiPosition(target)) }}></span>`}
    </div>
  `;
}

/** @param {{ at: number, text: string }} props */
function RoiLabel({ at, text }) {
  const position = roiPosition(at);
  // Near an end of the bar a label stays inside it.
  const side = position < 0.1 ? "at-start" : position > 0.9 ? "at-end" : "";
  return html`<span class=${side} style=${{ left: cssPercent(position) }}>${text}</span>`;
}

/** @param {{ part: number, whole: number, variant: string }} props */
export const Bar = ({ part, whole, variant }) => html`
  <span class="bar ${variant}" aria-hidden="true">${part > 0 && html`<span style=${{ width: cssPercent(part / whole) }}></span>`}</span>
`;

const SPARK_W = 120;
const SPARK_H = 36;

/** Up to here the busiest hour is no rush: one participant does not fill the height. */
const SPARK_HIGH_MIN = 5;

/**
 * The hours of one event on their own scale: they say when people come, and the number beside them how many. All hours but the
 * last, which is not over, are one path: an element for each made up a third of a list's document.
 * @param {(number | null)[]} points a point is null where it is not kept
 */
export function sparkline(points) {
  const high = Math.max(SPARK_HIGH_MIN, ...points.map((value) => value ?? 0));
  const step = SPARK_W / points.length;
  const lines = points.map((value, index) => {
    if (value === null) return "";
    // A few among many are still more than none.
    const height = value > 0 ? Math.max(4, (value / high) * SPARK_H) : 1.5;
    return `M${rounded((index + 0.5) * step)} ${SPARK_H}v${-rounded(height)}`;
  });
  return html`
    <svg class="spark" viewBox="0 0 ${SPARK_W} ${SPARK_H}" preserveAspectRatio="none" stroke-width=${rounded(step * 0.7)} aria-hidden="true">
      <path d=${lines.slice(0, -1).join("")} />
      <path class="last" d=${lines.at(-1) ?? ""} />
    </svg>
  `;
}

/** With two decimals at most. @param {number} value */
const rounded = (value) => Math.round(value * 100) / 100;

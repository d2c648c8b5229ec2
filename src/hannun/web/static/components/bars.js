/**
 * Small charts: ROI against its target, a horizontal bar for a share, and a sparkline of 24 hours. All stand next to text
 * with the same figures, so that they are hidden from assistive technology.
 *
 * A hatched bar, here and in the timeline chart, is not final: expected revenue, or an incomplete bucket.
 */
import { html } from "../html.js";
import { texts } from "../state.js";

/** A share as a CSS percentage, limited to 0 to 100 %. @param {number} part */
const cssPercent = (part) => `${(Math.min(1, Math.max(0, part)) * 100).toFixed(2)}%`;

/** As a share of the bar's width: if they are closer, the break-even label is omitted. */
const LABEL_DISTANCE_MIN = 0.2;

/** @param {{ roi: number, target: number | null | undefined, expected: boolean }} props */
export function RoiBar({ roi, target, expected }) {
  const low = Math.min(roi, 0, target ?? 0);
  const high = Math.max(roi, 0, target ?? 0);
  const span = high - low || 1;
  // A margin of 3 % at both ends keeps the marks off the edges.
  const positionOf = (/** @type {number} */ value) => 0.03 + (0.94 * (value - low)) / span;
  const from = Math.min(positionOf(0), positionOf(roi));
  const zeroAt = positionOf(0);
  const targetAt = target === null || target === undefined ? null : positionOf(target);
  const zeroLabelled = targetAt === null || Math.abs(targetAt - zeroAt) >= LABEL_DISTANCE_MIN;
  return html`
    <div class="roi-bar" aria-hidden="true">
      <div class="roi-track">
        <span
          class="roi-fill ${roi < 0 ? "loss" : "gain"} ${expected ? "hatched" : ""}"
          style=${{ left: cssPercent(from), width: cssPercent(Math.abs(positionOf(roi) - zeroAt)) }}
        ></span>
        <span class="roi-mark zero" style=${{ left: cssPercent(zeroAt) }}></span>
        ${targetAt !== null && html`<span class="roi-mark target" style=${{ left: cssPercent(targetAt) }}></span>`}
      </div>
      <div class="roi-labels">
        ${zeroLabelled && html`<span class=${labelSide(zeroAt)} style=${{ left: cssPercent(zeroAt) }}>${texts.value.tile.breakEvenMark}</span>`}
        ${targetAt !== null && html`<span class=${labelSide(targetAt)} style=${{ left: cssPercent(targetAt) }}>${texts.value.tile.target}</span>`}
      </div>
    </div>
  `;
}

/** The CSS class that keeps a label near an end inside the bar. @param {number} position */
const labelSide = (position) => (position < 0.12 ? "right-of-mark" : position > 0.88 ? "left-of-mark" : "");

/** @param {{ part: number, whole: number, variant: string }} props */
export const Bar = ({ part, whole, variant }) => html`
  <span class="bar ${variant}" aria-hidden="true">${part > 0 && html`<span style=${{ width: cssPercent(part / whole) }}></span>`}</span>
`;

const SPARK_W = 120;
const SPARK_H = 36;

/** @param {{ points: number[] }} props */
export function Sparkline({ points }) {
  const high = Math.max(...points, 1);
  const step = SPARK_W / points.length;
  return html`
    <svg class="spark" viewBox="0 0 ${SPARK_W} ${SPARK_H}" preserveAspectRatio="none" aria-hidden="true">
      ${points.map((value, index) => {
        const height = Math.max(1.5, (value / high) * SPARK_H);
        const last = index === points.length - 1;
        return html`<rect
          class=${last ? "last" : ""}
          x=${(index * step + step * 0.15).toFixed(2)}
          y=${(SPARK_H - height).toFixed(2)}
          width=${(step * 0.7).toFixed(2)}
          height=${height.toFixed(2)}
          rx="1"
        />`;
      })}
    </svg>
  `;
}

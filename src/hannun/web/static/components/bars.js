/**
 * Three small pictures: ROI against its target, money spent against money earned, a day in 24 strokes. All are drawn
 * beside figures that say the same in words, so that assistive technology may pass over them.
 *
 * Hatched means, here as in the chart: not final (expected, or still filling).
 */
import { html } from "../html.js";
import { words } from "../state.js";

/** @param {number} part */
const share = (part) => `${(Math.min(1, Math.max(0, part)) * 100).toFixed(2)}%`;

const LABELS_APART_MIN = 0.2;

/** @param {{ roi: number, target: number | null | undefined, expected: boolean }} props */
export function RoiBar({ roi, target, expected }) {
  const low = Math.min(roi, 0, target ?? 0);
  const high = Math.max(roi, 0, target ?? 0);
  const span = high - low || 1;
  // A little air at both ends, so that marks never lie on the edge.
  const at = (/** @type {number} */ value) => 0.03 + (0.94 * (value - low)) / span;
  const from = Math.min(at(0), at(roi));
  const zero = at(0);
  const goal = target === null || target === undefined ? null : at(target);
  const apart = goal === null || Math.abs(goal - zero) >= LABELS_APART_MIN;
  return html`
    <div class="roi-bar" aria-hidden="true">
      <div class="roi-track">
        <span
          class="roi-fill ${roi < 0 ? "loss" : "gain"} ${expected ? "hatched" : ""}"
          style=${{ left: share(from), width: share(Math.abs(at(roi) - zero)) }}
        ></span>
        <span class="roi-mark zero" style=${{ left: share(zero) }}></span>
        ${goal !== null && html`<span class="roi-mark goal" style=${{ left: share(goal) }}></span>`}
      </div>
      <div class="roi-labels">
        ${apart && html`<span class=${edge(zero)} style=${{ left: share(zero) }}>${words.value.tile.breakEvenMark}</span>`}
        ${goal !== null && html`<span class=${edge(goal)} style=${{ left: share(goal) }}>${words.value.tile.target}</span>`}
      </div>
    </div>
  `;
}

/** A label near an end leans inwards. @param {number} at */
const edge = (at) => (at < 0.12 ? "lean-right" : at > 0.88 ? "lean-left" : "");

/** @param {{ part: number, of: number, look: string }} props */
export const Bar = ({ part, of, look }) => html`
  <span class="bar ${look}" aria-hidden="true">${part > 0 && html`<span style=${{ width: share(part / of) }}></span>`}</span>
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

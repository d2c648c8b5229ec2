/**
 * A tile of the event's summary: a figure with its change and its kind. A tap shows its metric in the chart; the button
 * beside the name opens the definition. A figure without a time series has no tap, and its definition says so.
 */
import { html } from "../html.js";
import { formatChange } from "../format.js";
import { isMissing, provenanceOf } from "../provenance.js";
import { texts } from "../state.js";
import { KindBadge } from "./badge.js";
import { Explained } from "./figure-sheet.js";
import { Value } from "./tile.js";

/** @typedef {import("../api-types.js").Figure} Figure */
/**
 * A figure of a period so far beside the one before.
 * @typedef {object} Change
 * @property {string} name
 * @property {Figure} delta in percent
 * @property {Figure} now
 * @property {Figure} before
 * @property {string} path of the change, for its sheet
 * @property {import("../figures.js").Answer | null} answer the answer with the change; null before it is loaded
 */

/**
 * @param {object} props
 * @param {string} props.name
 * @param {import("../api-types.js").Dashboard} props.dashboard
 * @param {string} props.path of the figure in the dashboard
 * @param {Figure} props.figure null if it is missing
 * @param {string} props.missingReason
 * @param {string | null} [props.note]
 * @param {Change[] | false} [props.changes]
 * @param {boolean} [props.pressed] whether the chart shows the metric
 * @param {() => void} [props.onPress] shows the metric in the chart
 * @param {string} [props.class]
 * @param {any} props.children the figure
 */
export function MetricTile({ name, dashboard, path, figure, missingReason, note, changes, pressed = false, onPress, class: extraClass = "", children }) {
  const t = texts.value;
  const provenance = provenanceOf(figure, dashboard.provenance, path);
  const missing = isMissing(figure);
  // Most figures are measured: only another kind is worth a place.
  const kind = provenance && provenance.kind !== "measured" ? provenance.kind : null;
  return html`
    <section class="metric ${extraClass} ${pressed ? "shown" : ""}" aria-label=${name}>
      <div class="metric-head">
        <h2 class="tile-name">${onPress ? html`<button type="button" class="metric-button" aria-pressed=${pressed} onClick=${onPress}>${name}</button>` : name}</h2>
        <${Explained} path=${path} dashboard=${dashboard} name=${name} note=${[changes && t.change.explained, !onPress && t.event.noSeries].filter(Boolean).join(" ")} />
      </div>
      ${missing
        ? html`<${Value} figure=${null} missingReason=${missingReason} />`
        : html`<div class="metric-figure"><p class="value">${children}</p>${kind && html`<${KindBadge} kind=${kind} />`}</div>`}
      ${!missing && note && html`<p class="note">${note}</p>`}
      ${!missing && changes && changes.map((change) => html`<${ChangeLine} ...${change} />`)}
    </section>
  `;
}

/** The change in percent; without a base there is none. It has its place also before it is loaded. @param {Change} props */
function ChangeLine({ name, delta, now, before, path, answer }) {
  const note = path.startsWith("comparisons.") ? "" : texts.value.change.explained;
  return html`<p class="note change">${answer && !isMissing(before) && html`<${Explained} path=${path} dashboard=${answer} note=${note}>${name} ${changeText(delta, now)}<//>`}</p>`;
}

/** @param {Figure} delta @param {Figure} now */
function changeText(delta, now) {
  const t = texts.value.change;
  if (isMissing(delta)) return now ? t.none : t.same;
  if (delta === 0) return t.same;
  const rose = delta > 0;
  return html`<span class=${rose ? "gain" : "loss"}>
    <span aria-hidden="true">${rose ? "▲" : "▼"}</span> ${formatChange(delta)}<span class="sr-only"> ${rose ? t.rose : t.fell}</span>
  </span>`;
}

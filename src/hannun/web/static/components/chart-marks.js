/** What happened in the range of the chart, as a list: the canvas has only marks, which nobody can hear or tap. */
import { html } from "../html.js";
import { formatDate, formatTime } from "../format.js";
import { lang, texts } from "../state.js";

/** @typedef {import("../chart-series.js").PlacedMark} PlacedMark */

/** @param {{ marks: PlacedMark[] }} props */
export function ChartMarks({ marks }) {
  if (marks.length === 0) return null;
  return html`
    <details class="chart-marks">
      <summary>${texts.value.chart.marks(marks.length)}</summary>
      <ul>
        ${marks.map(({ mark }) => html`<li class="mark-${mark.kind}"><span class="mark-time">${markTime(mark)}</span> ${mark.text[lang.value]}</li>`)}
      </ul>
    </details>
  `;
}

/** @param {import("../api-types.js").Mark} mark */
function markTime({ at, until }) {
  const from = `${formatDate(at)} ${formatTime(at)}`;
  if (!until) return from;
  const to = formatDate(until) === formatDate(at) ? formatTime(until) : `${formatDate(until)} ${formatTime(until)}`;
  return texts.value.chart.markSpan(from, to);
}

/** The figures of the chart as a table, newest first: what a canvas cannot give to screen readers. */
import { html } from "../html.js";
import { incompleteReason } from "../chart-series.js";
import { cellText } from "../chart-text.js";
import { formatBucket } from "../format.js";
import { useUnchanged } from "../sharing.js";
import { texts } from "../state.js";

/** @typedef {import("../chart-series.js").Series} Series */
/** @typedef {import("../chart-range.js").Metric} Metric */
/** A column of the table. @typedef {{ name: string, series: Series }} Column */
/** @typedef {{ timestamp: string, incomplete: "filling" | "partly" | null, figures: (number | null | undefined)[] }} BucketRow */

/** @param {{ timeline: import("../api-types.js").Timeline, metric: Metric, columns: Column[] }} props */
export function ChartTable({ timeline, metric, columns }) {
  const t = texts.value.chart;
  // Rendered again is only a row that has changed: there may be thousands, and mostly the newest changes.
  const rows = useUnchanged(rowsOf(timeline, columns));
  return html`
    <div class="chart-table" tabindex="0" role="region" aria-label=${t.tableCaption}>
      <table>
        <caption class="sr-only">
          ${t.tableCaption}
        </caption>
        <thead>
          <tr>
            <th scope="col">${t.time}</th>
            ${columns.map(({ name }) => html`<th scope="col" class="figure">${name}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${rows.toReversed().map((row) => html`<${Row} key=${row.timestamp} row=${row} granularity=${timeline.granularity} metric=${metric} />`)}
        </tbody>
      </table>
    </div>
  `;
}

/** The buckets, oldest first, so that a new one leaves the others in their places. @param {import("../api-types.js").Timeline} timeline @param {Column[]} columns @returns {BucketRow[]} */
const rowsOf = (timeline, columns) =>
  timeline.dataPoints.map(({ timestamp }, index) => ({ timestamp, incomplete: incompleteReason(timeline, index), figures: columns.map(({ series }) => series[index]) }));

/** @param {{ row: BucketRow, granularity: string, metric: Metric }} props */
function Row({ row: { timestamp, incomplete, figures }, granularity, metric }) {
  const t = texts.value.chart;
  return html`<tr>
    <th scope="row">${formatBucket(timestamp, granularity)}${incomplete && html` <small>${t[incomplete]}</small>`}</th>
    ${figures.map((figure) => html`<td class="figure">${cellText(metric, figure)}</td>`)}
  </tr>`;
}

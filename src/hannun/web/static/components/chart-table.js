/** The figures of the chart as a table, newest first: what a canvas cannot give to screen readers. */
import { html } from "../html.js";
import { incompleteReason } from "../chart-series.js";
import { cellText } from "../chart-text.js";
import { formatBucket } from "../format.js";
import { useUnchanged } from "../sharing.js";
import { texts } from "../state.js";

/** Rows that are rendered together: about as many as there are groups of 2,000. */
const GROUP_ROWS = 40;

/** @typedef {import("../chart-series.js").Series} Series */
/** @typedef {import("../chart-range.js").Metric} Metric */
/** A column of the table. @typedef {{ name: string, series: Series }} Column */
/** @typedef {{ timestamp: string, incomplete: "filling" | "partly" | null, figures: (number | null | undefined)[] }} BucketRow */

/** @param {{ timeline: import("../api-types.js").Timeline, metric: Metric, columns: Column[] }} props */
export function ChartTable({ timeline, metric, columns }) {
  const t = texts.value.chart;
  // Rendered again are only the groups in which a row has changed: there may be thousands of rows, and mostly the newest changes.
  const groups = useUnchanged(groupsOf(rowsOf(timeline, columns)));
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
          ${groups.toReversed().map((rows) => html`<${Rows} key=${rows[0]?.timestamp} rows=${rows} granularity=${timeline.granularity} metric=${metric} />`)}
        </tbody>
      </table>
    </div>
  `;
}

/** The buckets, oldest first, so that a new one leaves the others in their places. @param {import("../api-types.js").Timeline} timeline @param {Column[]} columns @returns {BucketRow[]} */
const rowsOf = (timeline, columns) =>
  timeline.dataPoints.map(({ timestamp }, index) => ({ timestamp, incomplete: incompleteReason(timeline, index), figures: columns.map(({ series }) => series[index]) }));

/** From the oldest on, so that a new bucket leaves all other groups as they are. @param {BucketRow[]} rows */
const groupsOf = (rows) => Array.from({ length: Math.ceil(rows.length / GROUP_ROWS) }, (_, group) => rows.slice(group * GROUP_ROWS, (group + 1) * GROUP_ROWS));

/** @param {{ rows: BucketRow[], granularity: string, metric: Metric }} props */
function Rows({ rows, granularity, metric }) {
  const t = texts.value.chart;
  return rows.toReversed().map(
    ({ timestamp, incomplete, figures }) => html`<tr key=${timestamp}>
      <th scope="row">${formatBucket(timestamp, granularity)}${incomplete && html` <small>${t[incomplete]}</small>`}</th>
      ${figures.map((figure) => html`<td class="figure">${cellText(metric, figure)}</td>`)}
    </tr>`,
  );
}

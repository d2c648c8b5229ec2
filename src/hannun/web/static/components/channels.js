/**
 * Table of the channels, with a row for unattributed participants and a row for the total. On a phone, CSS shows the rows
 * as cards; the explicit roles keep it a table for assistive technology.
 *
 * The column and the direction of the order are in the URL.
 */
import { html } from "../html.js";
import { channelPath, originOf, valueOf } from "../figures.js";
import { formatCount, formatDateTime, formatMoney, formatRecentTime } from "../format.js";
import { isMissing } from "../provenance.js";
import { useLatest } from "../sharing.js";
import { hrefWith, lang, now, replaceRoute, route, texts } from "../state.js";
import { KindBadge, StateBadge } from "./badge.js";
import { Bar } from "./bars.js";
import { Explained, formatFigure } from "./figure-sheet.js";
import { AnimatedNumber, Money } from "./number.js";

/** @typedef {import("../api-types.js").Dashboard} Dashboard */
/** @typedef {import("../api-types.js").Channel} Channel */
/** @typedef {"name" | "state" | "participants" | "views" | "clickThroughRate" | "participationRate" | "conversionRate" | "distributionCost" | "costPerParticipant"} Column */
/** @typedef {{ by: Column, descending: boolean }} Order */
/** The newest dashboard: the sheet of a figure reads it. @typedef {import("../vendor/signals.js").ReadonlySignal<Dashboard>} Latest */
/** The channels with the least and the most cost for each participant. @typedef {{ cheapest: Channel, dearest: Channel } | null} Extremes */

/** @type {Column[]} */
const COLUMNS = ["name", "state", "participants", "views", "clickThroughRate", "participationRate", "conversionRate", "distributionCost", "costPerParticipant"];
/** Of these columns the least comes first at the first press. */
const ASCENDING_FIRST = new Set(["name", "state", "distributionCost", "costPerParticipant"]);
const STATES = ["measured", "stale", "planned", "failed", "unknown"];
const ORDER_PARAMETER = "channels";
/** @type {Order} */
const DEFAULT_ORDER = { by: "participants", descending: true };
/** So many channels have a row on paper; `print.css` hides the others. */
const PRINTED_MAX = 20;

/** @param {{ dashboard: Dashboard }} props */
export function Channels({ dashboard }) {
  const t = texts.value.channels;
  const { summary, channelPerformance } = dashboard;
  const latest = useLatest(dashboard);
  const total = summary.totalParticipants ?? 0;
  if (channelPerformance.length === 0 && total === 0) {
    return html`<section class="card channels" aria-labelledby="channels-title">
      <div class="section-head"><h2 id="channels-title" tabindex="-1">${t.title}</h2></div>
      <p class="note">${t.empty}</p>
    </section>`;
  }
  const order = requestedOrder();
  const extremes = extremesOf(channelPerformance);
  const dearestCost = Math.max(0, ...channelPerformance.map((channel) => channel.costPerParticipant ?? 0));
  return html`
    <section class="card channels" aria-labelledby="channels-title">
      <div class="section-head">
        <h2 id="channels-title" tabindex="-1">${t.title}</h2>
        <${Sum} dashboard=${dashboard} />
      </div>
      ${extremes && html`<p class="section-lead">${extremesText(extremes)}</p>`}
      <${OrderChoice} order=${order} />
      <table role="table">
        <caption class="sr-only">
          ${t.caption}
        </caption>
        <thead role="rowgroup">
          <tr role="row">
            ${COLUMNS.map((column) => html`<${ColumnHead} key=${column} column=${column} order=${order} />`)}
          </tr>
        </thead>
        <tbody role="rowgroup">
          ${sorted(channelPerformance, order).map(
            (channel) => html`<${ChannelRow} key=${channel.channelName} channel=${channel} dashboard=${dashboard} latest=${latest} extremes=${extremes} dearestCost=${dearestCost} />`,
          )}
          <${UnattributedRow} dashboard=${dashboard} latest=${latest} />
        </tbody>
        <tfoot role="rowgroup">
          <${TotalRow} dashboard=${dashboard} latest=${latest} />
        </tfoot>
      </table>
      ${channelPerformance.length > PRINTED_MAX && html`<p class="note print-only">${t.printed(formatCount(PRINTED_MAX), formatCount(channelPerformance.length))}</p>`}
    </section>
  `;
}

/** The sum of the participants in words, while it holds. @param {{ dashboard: Dashboard }} props */
function Sum({ dashboard: { summary, channelPerformance } }) {
  const unattributed = summary.unattributedParticipants ?? 0;
  const attributed = channelPerformance.reduce((sum, channel) => sum + (channel.participants ?? 0), 0);
  if (attributed + unattributed !== summary.totalParticipants) return null;
  return html`<p class="note channel-sum">${texts.value.channels.sum(formatCount(attributed), formatCount(unattributed), formatCount(summary.totalParticipants))}</p>`;
}

// -- order ---------------------------------------------------------------------------------------------------------

/** The order in the URL, like "views.descending". @returns {Order} */
function requestedOrder() {
  const [by, direction] = (route.value.query.get(ORDER_PARAMETER) ?? "").split(".");
  const column = COLUMNS.find((each) => each === by);
  return column ? { by: column, descending: direction === "descending" } : DEFAULT_ORDER;
}

/** @param {Order} order */
const requestOrder = ({ by, descending }) => replaceRoute(hrefWith(ORDER_PARAMETER, `${by}.${descending ? "descending" : "ascending"}`));

/** The channels in order; those without a value last. @param {Channel[]} channels @param {Order} order */
function sorted(channels, { by, descending }) {
  const sign = descending ? -1 : 1;
  return [...channels].sort((a, b) => {
    if (by === "name") return sign * a.channelTitle[lang.value].localeCompare(b.channelTitle[lang.value], lang.value);
    const [one, other] = [sortValue(a, by), sortValue(b, by)];
    return isMissing(one) || isMissing(other) ? Number(isMissing(one)) - Number(isMissing(other)) : sign * (one - other);
  });
}

/** @param {Channel} channel @param {Exclude<Column, "name">} by @returns {import("../api-types.js").Figure} */
function sortValue(channel, by) {
  if (by === "state") return STATES.indexOf(channel.state);
  return by === "views" && !channel.measuredCounts.includes("views") ? null : channel[by];
}

/** The head of a column: a press sorts by it, and another one turns the order around. @param {{ column: Column, order: Order }} props */
function ColumnHead({ column, order }) {
  const isSorted = order.by === column;
  const sort = isSorted ? (order.descending ? "descending" : "ascending") : "none";
  return html`
    <th role="columnheader" scope="col" class=${column === "name" || column === "state" ? "" : "figure"} aria-sort=${sort}>
      <button
        type="button"
        class="sort"
        onClick=${() => requestOrder({ by: column, descending: isSorted ? !order.descending : !ASCENDING_FIRST.has(column) })}
      >
        ${texts.value.channels.columns[column]}<span class="sort-mark" aria-hidden="true">${isSorted ? (order.descending ? "↓" : "↑") : ""}</span>
      </button>
    </th>
  `;
}

/** The order of the cards on a phone, which have no heads of columns. @param {{ order: Order }} props */
function OrderChoice({ order }) {
  const t = texts.value.channels;
  return html`
    <div class="order-choice">
      <label>
        <span>${t.order}</span>
        <select
          onChange=${(/** @type {Event} */ event) => {
            const by = /** @type {Column} */ (/** @type {HTMLSelectElement} */ (event.currentTarget).value);
            requestOrder({ by, descending: !ASCENDING_FIRST.has(by) });
          }}
        >
          ${COLUMNS.map((column) => html`<option value=${column} selected=${column === order.by}>${t.columns[column]}</option>`)}
        </select>
      </label>
      <button type="button" class="button small" onClick=${() => requestOrder({ ...order, descending: !order.descending })}>
        <span aria-hidden="true">${order.descending ? "↓" : "↑"}</span> ${order.descending ? t.descending : t.ascending}
      </button>
    </div>
  `;
}

// -- the cheapest and the dearest ----------------------------------------------------------------------------------

/** The two ends of the cost per participant; null where fewer than two channels have a cost, and where all cost the same. @param {Channel[]} channels @returns {Extremes} */
function extremesOf(channels) {
  const costing = channels.filter((channel) => channel.distributionCost && !isMissing(channel.costPerParticipant)).sort((a, b) => costOf(a) - costOf(b));
  const [cheapest] = costing;
  const dearest = costing[costing.length - 1];
  return cheapest && dearest && costOf(cheapest) < costOf(dearest) ? { cheapest, dearest } : null;
}

/** @param {Channel} channel */
const costOf = (channel) => channel.costPerParticipant ?? 0;

/** @param {NonNullable<Extremes>} extremes */
function extremesText({ cheapest, dearest }) {
  const [one, other] = [cheapest, dearest].map((channel) => [channel.channelTitle[lang.value], formatMoney(costOf(channel))]);
  return texts.value.channels.extremes(one?.[0] ?? "", one?.[1] ?? "", other?.[0] ?? "", other?.[1] ?? "");
}

// -- rows ----------------------------------------------------------------------------------------------------------

/** @param {{ channel: Channel, dashboard: Dashboard, latest: Latest, extremes: Extremes, dearestCost: number }} props */
function ChannelRow({ channel, dashboard, latest, extremes, dearestCost }) {
  const t = texts.value.channels;
  const isEnd = channel === extremes?.cheapest ? t.cheapest : channel === extremes?.dearest ? t.dearest : null;
  const of = (/** @type {string} */ figure) => channelPath(channel.channelName, figure);
  return html`
    <tr role="row">
      <th role="rowheader" scope="row" class="cell-name">
        <span>${channel.channelTitle[lang.value]}</span>
        <small>${t.types[channel.channelType] ?? channel.channelType}</small>
      </th>
      <td role="cell" class="cell-state"><${State} channel=${channel} /></td>
      <${Cell} column="participants" path=${of("participants")} dashboard=${dashboard} latest=${latest} class="cell-participants">
        <${Bar} part=${channel.participants ?? 0} whole=${dashboard.summary.totalParticipants || 1} variant="share" />
      <//>
      <${Cell} column="views" path=${of("views")} dashboard=${dashboard} latest=${latest}><${BelowViews} channel=${channel} dashboard=${dashboard} latest=${latest} /><//>
      <${Cell} column="clickThroughRate" path=${of("clickThroughRate")} dashboard=${dashboard} latest=${latest} />
      <${Cell} column="participationRate" path=${of("participationRate")} dashboard=${dashboard} latest=${latest} />
      <${Cell} column="conversionRate" path=${of("conversionRate")} dashboard=${dashboard} latest=${latest}><${CostPer} path=${of("costPerConversion")} dashboard=${dashboard} latest=${latest} name=${t.perConversion} /><//>
      <${Cell} column="distributionCost" path=${of("distributionCost")} dashboard=${dashboard} latest=${latest} missingReason=${texts.value.missingReason.channelCost} />
      <${Cell} column="costPerParticipant" path=${of("costPerParticipant")} dashboard=${dashboard} latest=${latest}>
        ${dearestCost > 0 && !isMissing(channel.costPerParticipant) && html`<${Bar} part=${channel.costPerParticipant} whole=${dearestCost} variant="share faint" />`}
        ${isEnd && html`<small class="end ${channel === extremes?.cheapest ? "cheapest" : "dearest"}">${isEnd}</small>`}
      <//>
    </tr>
  `;
}

/** What the channel's counts are, and since when. @param {{ channel: Channel }} props */
function State({ channel: { state, measuredAt, staleSince } }) {
  const t = texts.value.channels;
  return html`
    <${StateBadge} state=${state} />
    ${staleSince
      ? html`<time datetime=${staleSince} title=${formatDateTime(staleSince)}>${t.staleSince(formatRecentTime(staleSince, now.value))}</time>`
      : measuredAt
        ? html`<time datetime=${measuredAt} title=${formatDateTime(measuredAt)}>${texts.value.asOf(formatRecentTime(measuredAt, now.value))}</time>`
        : html`<small>${t.stateMeaning[state] ?? t.notMeasured}</small>`}
  `;
}

/** @param {{ dashboard: Dashboard, latest: Latest }} props */
function UnattributedRow({ dashboard, latest }) {
  const t = texts.value.channels;
  const { summary } = dashboard;
  return html`
    <tr role="row" class="unattributed">
      <th role="rowheader" scope="row" class="cell-name">
        <span>${t.unattributed}</span>
        <small>${t.unattributedHint}</small>
      </th>
      <td role="cell" class="cell-state"></td>
      <${Cell} column="participants" path="summary.unattributedParticipants" dashboard=${dashboard} latest=${latest} class="cell-participants">
        <${Bar} part=${summary.unattributedParticipants ?? 0} whole=${summary.totalParticipants || 1} variant="share faint" />
      <//>
      <td role="cell" class="blank" colspan="6"></td>
    </tr>
  `;
}

/** The path of each column in the row of the total. @type {[Column, string][]} */
const TOTALS = [
  ["participants", "summary.totalParticipants"],
  ["views", "summary.totalViews"],
  ["clickThroughRate", "summary.clickThroughRate"],
  ["participationRate", "summary.participationRate"],
  ["conversionRate", "summary.conversionRate"],
  ["distributionCost", "roi.investment.channels"],
];

/** @param {{ dashboard: Dashboard, latest: Latest }} props */
function TotalRow({ dashboard, latest }) {
  const t = texts.value.channels;
  return html`
    <tr role="row" class="total">
      <th role="rowheader" scope="row" class="cell-name"><span>${t.total}</span></th>
      <td role="cell" class="cell-state"></td>
      ${TOTALS.map(([column, path]) => {
        const origin = column === "participants" || column === "distributionCost" ? null : originOf(path, dashboard);
        return html`<${Cell} key=${column} column=${column} path=${path} dashboard=${dashboard} latest=${latest} class=${column === "participants" ? "cell-participants" : ""}>
          ${origin && html`<${KindBadge} kind=${origin.kind} />`}
        <//>`;
      })}
      <td role="cell" class="blank"></td>
    </tr>
  `;
}

/**
 * A cell with a figure, which explains itself, and what stands below the figure.
 * @param {object} props
 * @param {Column} props.column
 * @param {string} props.path
 * @param {Dashboard} props.dashboard
 * @param {Latest} props.latest
 * @param {string} [props.class]
 * @param {string} [props.missingReason]
 * @param {any} [props.children]
 */
const Cell = ({ column, path, dashboard, latest, class: extraClass = "", missingReason, children }) => html`
  <td role="cell" class="figure ${extraClass}">
    <${CellFigure} column=${column} path=${path} value=${valueOf(path, dashboard)} latest=${latest} missingReason=${missingReason} />
    ${children}
  </td>
`;

/**
 * Rendered again only if the figure has changed: of 50 in the table an update mostly changes a few.
 * @param {{ column: Column, path: string, value: import("../api-types.js").Figure, latest: Latest, missingReason?: string }} props
 */
const CellFigure = ({ column, path, value, latest, missingReason }) => html`
  <${Explained} class="cell-figure" path=${path} dashboard=${latest}>
    <span class="cell-label" aria-hidden="true">${texts.value.channels.columns[column]}</span>
    ${isMissing(value) ? html`<${Missing} reason=${missingReason} />` : html`<${Figure} path=${path} value=${value} />`}
  <//>
`;

/** @param {{ path: string, value: number }} props */
const Figure = ({ path, value }) =>
  /distributionCost|costPer|investment/.test(path)
    ? html`<${Money} value=${value} />`
    : html`<${AnimatedNumber} value=${value} format=${/Rate$/.test(path) ? (/** @type {number} */ figure) => formatFigure(path, figure) : formatCount} />`;

/** @param {{ reason?: string }} props */
const Missing = ({ reason }) =>
  reason ? html`<span title=${reason}><span aria-hidden="true">${texts.value.none}</span><span class="sr-only">${reason}</span></span>` : html`<span>${texts.value.none}</span>`;

/** What one view cost; before the channel has reported views, the planned ones. @param {{ channel: Channel, dashboard: Dashboard, latest: Latest }} props */
function BelowViews({ channel: { channelName, measuredCounts, expectedViews }, dashboard, latest }) {
  const t = texts.value.channels;
  if (measuredCounts.includes("views")) return html`<${CostPer} path=${channelPath(channelName, "costPerView")} dashboard=${dashboard} latest=${latest} name=${t.perView} />`;
  return isMissing(expectedViews) ? null : html`<small>${t.plannedViews(formatCount(expectedViews))}</small>`;
}

/** What one view or conversion costs. @param {{ path: string, dashboard: Dashboard, latest: Latest, name: (cost: string) => string }} props */
function CostPer({ path, dashboard, latest, name }) {
  const cost = valueOf(path, dashboard);
  return isMissing(cost) ? null : html`<small><${Explained} path=${path} dashboard=${latest}>${name(formatMoney(cost))}<//></small>`;
}

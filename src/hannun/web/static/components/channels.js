/**
 * Table of the channels, with a row for unattributed participants and a row for the total. On a phone, CSS shows the rows
 * as cards; the explicit roles keep it a table for assistive technology.
 */
import { html } from "../html.js";
import { formatCount, formatDateTime, formatMoney, formatPercent, formatRecentTime } from "../format.js";
import { now, texts } from "../state.js";
import { KindBadge, StateBadge } from "./badge.js";
import { Bar } from "./bars.js";
import { AnimatedNumber, Money } from "./number.js";
import { measuredOrNull, provenanceOf } from "./tile.js";

/** @param {{ dashboard: import("../api-types.js").Dashboard }} props */
export function Channels({ dashboard }) {
  const t = texts.value.channels;
  const { summary, roi, provenance } = dashboard;
  const channels = [...dashboard.channelPerformance].sort((a, b) => (b.participants ?? -1) - (a.participants ?? -1));
  const total = summary.totalParticipants ?? 0;
  const unattributed = summary.unattributedParticipants ?? 0;
  const attributed = channels.reduce((sum, channel) => sum + (channel.participants ?? 0), 0);
  const columns = [t.name, t.state, t.participants, t.views, t.clickThroughRate, t.conversionRate, t.cost, t.costPerParticipant];
  if (channels.length === 0 && total === 0) {
    return html`<section class="card channels" aria-labelledby="channels-title">
      <div class="section-head"><h2 id="channels-title">${t.title}</h2></div>
      <p class="note">${t.empty}</p>
    </section>`;
  }
  return html`
    <section class="card channels" aria-labelledby="channels-title">
      <div class="section-head">
        <h2 id="channels-title">${t.title}</h2>
        ${attributed + unattributed === total &&
        html`<p class="note channel-sum">${t.sum(formatCount(attributed), formatCount(unattributed), formatCount(total))}</p>`}
      </div>
      <table role="table">
        <caption class="sr-only">
          ${t.caption}
        </caption>
        <thead role="rowgroup">
          <tr role="row">
            ${columns.map((name, index) => html`<th role="columnheader" scope="col" class=${index > 1 ? "figure" : ""}>${name}</th>`)}
          </tr>
        </thead>
        <tbody role="rowgroup">
          ${channels.map((channel) => html`<${ChannelRow} key=${channel.channelName} channel=${channel} total=${total} />`)}
          <tr role="row" class="unattributed">
            <th role="rowheader" scope="row" class="cell-name">
              <span>${t.unattributed}</span>
              <small>${t.unattributedHint}</small>
            </th>
            <td role="cell" class="cell-state"></td>
            <${Cell} name=${t.participants} class="cell-participants">
              <${AnimatedNumber} value=${unattributed} format=${formatCount} />
              <${Bar} part=${unattributed} whole=${total} variant="share faint" />
            <//>
            <td role="cell" class="blank" colspan="5"></td>
          </tr>
        </tbody>
        <tfoot role="rowgroup">
          <tr role="row" class="total">
            <th role="rowheader" scope="row" class="cell-name"><span>${t.total}</span></th>
            <td role="cell" class="cell-state"></td>
            <${Cell} name=${t.participants} class="cell-participants"><${Figure} figure=${summary.totalParticipants} format=${formatCount} /><//>
            <${Cell} name=${t.views}><${Total} figure=${summary.totalViews} provenance=${provenance} path="summary.totalViews" format=${formatCount} /><//>
            <${Cell} name=${t.clickThroughRate}><${Total} figure=${summary.clickThroughRate} provenance=${provenance} path="summary.clickThroughRate" format=${formatPercent} /><//>
            <${Cell} name=${t.conversionRate}><${Total} figure=${summary.conversionRate} provenance=${provenance} path="summary.conversionRate" format=${formatPercent} /><//>
            <${Cell} name=${t.cost}><${MoneyFigure} figure=${roi.investment?.channels} missingReason=${texts.value.missingReason.channelCost} /><//>
            <td role="cell" class="blank"></td>
          </tr>
        </tfoot>
      </table>
    </section>
  `;
}

/** @param {{ channel: import("../api-types.js").Channel, total: number }} props */
function ChannelRow({ channel, total }) {
  const t = texts.value.channels;
  return html`
    <tr role="row">
      <th role="rowheader" scope="row" class="cell-name">
        <span>${channel.channelName}</span>
        <small>${t.types[channel.channelType] ?? channel.channelType}</small>
      </th>
      <td role="cell" class="cell-state">
        <${StateBadge} state=${channel.state} />
        ${channel.measuredAt
          ? html`<time datetime=${channel.measuredAt} title=${formatDateTime(channel.measuredAt)}>${formatRecentTime(channel.measuredAt, now.value)}</time>`
          : html`<small>${t.notMeasured}</small>`}
        ${channel.staleSince && html`<small title=${formatDateTime(channel.staleSince)}>${t.staleSince(formatRecentTime(channel.staleSince, now.value))}</small>`}
      </td>
      <${Cell} name=${t.participants} class="cell-participants">
        <${Figure} figure=${channel.participants} format=${formatCount} />
        <${Bar} part=${channel.participants ?? 0} whole=${total} variant="share" />
      <//>
      <${Cell} name=${t.views}><${Views} channel=${channel} /><//>
      <${Cell} name=${t.clickThroughRate}><${Figure} figure=${channel.clickThroughRate} format=${formatPercent} /><//>
      <${Cell} name=${t.conversionRate}><${Figure} figure=${channel.conversionRate} format=${formatPercent} /><${CostPer} cost=${channel.costPerConversion} name=${t.perConversion} /><//>
      <${Cell} name=${t.cost}><${MoneyFigure} figure=${channel.distributionCost} missingReason=${texts.value.missingReason.channelCost} /><//>
      <${Cell} name=${t.costPerParticipant}><${MoneyFigure} figure=${channel.costPerParticipant} /><//>
    </tr>
  `;
}

/** @param {{ name: string, class?: string, children: any }} props */
const Cell = ({ name, class: extraClass = "", children }) => html`
  <td role="cell" class="figure ${extraClass}"><span class="cell-label" aria-hidden="true">${name}</span>${children}</td>
`;

/** The views that the channel has reported; before that the planned views, marked as planned. @param {{ channel: import("../api-types.js").Channel }} props */
function Views({ channel: { views, measuredCounts, costPerView, expectedViews } }) {
  const t = texts.value;
  if (measuredCounts.includes("views")) {
    return html`<${Figure} figure=${views} format=${formatCount} /><${CostPer} cost=${costPerView} name=${t.channels.perView} />`;
  }
  return html`${t.none} ${(expectedViews ?? null) !== null && html`<small>${t.channels.plannedViews(formatCount(expectedViews ?? 0))}</small>`}`;
}

/** @param {{ figure: import("../api-types.js").Figure, format: (value: number) => string }} props */
const Figure = ({ figure, format }) =>
  figure === null || figure === undefined ? texts.value.none : html`<${AnimatedNumber} value=${figure} format=${format} />`;

/** What one view or conversion costs. @param {{ cost: import("../api-types.js").Figure, name: (cost: string) => string }} props */
const CostPer = ({ cost, name }) => (cost === null || cost === undefined ? null : html`<small>${name(formatMoney(cost))}</small>`);

/**
 * A figure of all channels together, with its kind.
 * @param {object} props
 * @param {import("../api-types.js").Figure} props.figure
 * @param {import("../api-types.js").Provenance | undefined} props.provenance
 * @param {string} props.path
 * @param {(value: number) => string} props.format
 */
function Total({ figure, provenance, path, format }) {
  const known = measuredOrNull(figure, provenance, path);
  const origin = provenanceOf(known, provenance, path);
  return html`<${Figure} figure=${known} format=${format} />${origin && html`<${KindBadge} kind=${origin.kind} />`}`;
}

/** @param {{ figure: import("../api-types.js").Figure, missingReason?: string }} props */
const MoneyFigure = ({ figure, missingReason }) =>
  figure === null || figure === undefined
    ? html`<span title=${missingReason}><span aria-hidden=${missingReason ? "true" : "false"}>${texts.value.none}</span>${missingReason && html`<span class="sr-only">${missingReason}</span>`}</span>`
    : html`<${Money} value=${figure} />`;

/**
 * The channels, with those participants whose channel nobody knows, and their sum: one table, which on a phone is laid
 * out as cards. The explicit roles keep it a table for assistive technology when CSS changes its display.
 */
import { html } from "../html.js";
import { count, dateAndTime, moment, percent } from "../format.js";
import { now, words } from "../state.js";
import { StateBadge } from "./badge.js";
import { Bar } from "./bars.js";
import { Money, Num } from "./number.js";
import { measured } from "./tile.js";

/** @param {{ dashboard: import("../shapes.js").Dashboard }} props */
export function Channels({ dashboard }) {
  const w = words.value.channels;
  const { summary, roi, provenance } = dashboard;
  const channels = [...dashboard.channelPerformance].sort((a, b) => (b.participants ?? -1) - (a.participants ?? -1));
  const total = summary.totalParticipants ?? 0;
  const unattributed = summary.unattributedParticipants ?? 0;
  const byChannel = channels.reduce((sum, channel) => sum + (channel.participants ?? 0), 0);
  const columns = [w.name, w.state, w.participants, w.views, w.clickThroughRate, w.conversionRate, w.cost, w.costPerParticipant];
  if (channels.length === 0 && total === 0) {
    return html`<section class="card channels" aria-labelledby="channels-title">
      <div class="section-head"><h2 id="channels-title">${w.title}</h2></div>
      <p class="note">${w.empty}</p>
    </section>`;
  }
  return html`
    <section class="card channels" aria-labelledby="channels-title">
      <div class="section-head">
        <h2 id="channels-title">${w.title}</h2>
        ${byChannel + unattributed === total &&
        html`<p class="note adds-up">${w.addsUp(count(byChannel), count(unattributed), count(total))}</p>`}
      </div>
      <table role="table">
        <caption class="sr-only">
          ${w.caption}
        </caption>
        <thead role="rowgroup">
          <tr role="row">
            ${columns.map((name, index) => html`<th role="columnheader" scope="col" class=${index > 1 ? "figure" : ""}>${name}</th>`)}
          </tr>
        </thead>
        <tbody role="rowgroup">
          ${channels.map((channel) => html`<${Row} key=${channel.channelName} channel=${channel} total=${total} />`)}
          <tr role="row" class="unattributed">
            <th role="rowheader" scope="row" class="cell-name">
              <span>${w.unattributed}</span>
              <small>${w.unattributedHint}</small>
            </th>
            <td role="cell" class="cell-state"></td>
            <${Cell} name=${w.participants} class="cell-people">
              <${Num} value=${unattributed} format=${count} />
              <${Bar} part=${unattributed} of=${total} look="share faint" />
            <//>
            <td role="cell" class="blank" colspan="5"></td>
          </tr>
        </tbody>
        <tfoot role="rowgroup">
          <tr role="row" class="total">
            <th role="rowheader" scope="row" class="cell-name"><span>${w.total}</span></th>
            <td role="cell" class="cell-state"></td>
            <${Cell} name=${w.participants} class="cell-people"><${Figure} of=${summary.totalParticipants} format=${count} /><//>
            <${Cell} name=${w.views}><${Figure} of=${measured(summary.totalViews, provenance, "summary.totalViews")} format=${count} /><//>
            <${Cell} name=${w.clickThroughRate}><${Figure} of=${summary.clickThroughRate} format=${percent} /><//>
            <${Cell} name=${w.conversionRate}><${Figure} of=${summary.conversionRate} format=${percent} /><//>
            <${Cell} name=${w.cost}><${MoneyFigure} of=${roi.investment?.channels} /><//>
            <td role="cell" class="blank"></td>
          </tr>
        </tfoot>
      </table>
    </section>
  `;
}

/** @param {{ channel: import("../shapes.js").Channel, total: number }} props */
function Row({ channel, total }) {
  const w = words.value.channels;
  return html`
    <tr role="row">
      <th role="rowheader" scope="row" class="cell-name">
        <span>${channel.channelName}</span>
        <small>${w.types[channel.channelType] ?? channel.channelType}</small>
      </th>
      <td role="cell" class="cell-state">
        <${StateBadge} state=${channel.state} />
        ${channel.measuredAt
          ? html`<time datetime=${channel.measuredAt} title=${dateAndTime(channel.measuredAt)}>${moment(channel.measuredAt, now.value)}</time>`
          : html`<small>${w.notYet}</small>`}
      </td>
      <${Cell} name=${w.participants} class="cell-people">
        <${Figure} of=${channel.participants} format=${count} />
        <${Bar} part=${channel.participants ?? 0} of=${total} look="share" />
      <//>
      <${Cell} name=${w.views}><${Views} channel=${channel} /><//>
      <${Cell} name=${w.clickThroughRate}><${Figure} of=${channel.clickThroughRate} format=${percent} /><//>
      <${Cell} name=${w.conversionRate}><${Figure} of=${channel.conversionRate} format=${percent} /><//>
      <${Cell} name=${w.cost}><${MoneyFigure} of=${channel.distributionCost} /><//>
      <${Cell} name=${w.costPerParticipant}><${MoneyFigure} of=${channel.costPerParticipant} /><//>
    </tr>
  `;
}

/** @param {{ name: string, class?: string, children: any }} props */
const Cell = ({ name, class: more = "", children }) => html`
  <td role="cell" class="figure ${more}"><span class="cell-label" aria-hidden="true">${name}</span>${children}</td>
`;

/** What was measured; until then what was planned, said as a plan. @param {{ channel: import("../shapes.js").Channel }} props */
function Views({ channel: { views, measuredAt, expectedViews } }) {
  if (measuredAt || views) return html`<${Figure} of=${views} format=${count} />`;
  const w = words.value;
  return html`${w.none} ${(expectedViews ?? null) !== null && html`<small>${w.channels.plannedViews(count(expectedViews ?? 0))}</small>`}`;
}

/** @param {{ of: import("../shapes.js").Figure, format: (value: number) => string }} props */
const Figure = ({ of, format }) => (of === null || of === undefined ? words.value.none : html`<${Num} value=${of} format=${format} />`);

/** @param {{ of: import("../shapes.js").Figure }} props */
const MoneyFigure = ({ of }) => (of === null || of === undefined ? words.value.none : html`<${Money} value=${of} />`);


/**
 * Whether the event is worth the money: what was spent, what came back, the ROI beside its target, and the break-even.
 *
 * What is recorded is a full bar, what is planned an outline, and what is assumed a hatched one; each is named in words too.
 */
import { html } from "../html.js";
import { isOver } from "../event-phase.js";
import { originOf, valueOf } from "../figures.js";
import { formatCount, formatPercent, formatSignedPercent } from "../format.js";
import { isMissing } from "../provenance.js";
import { now, texts } from "../state.js";
import { KindBadge } from "./badge.js";
import { Bar, RoiBar } from "./bars.js";
import { Explained, figureName } from "./figure-sheet.js";
import { Money } from "./number.js";
import { missingRoiReason, moneyMissingReason, revenueBasis, RoiText } from "./roi.js";

/** @typedef {import("../api-types.js").Dashboard} Dashboard */

/** @param {{ dashboard: Dashboard }} props */
export function RoiPanel({ dashboard }) {
  const t = texts.value.roiPanel;
  return html`
    <section class="card roi-panel" aria-labelledby="roi-panel-title">
      <div class="section-head"><h2 id="roi-panel-title" tabindex="-1">${t.title}</h2></div>
      <${Rois} dashboard=${dashboard} />
      <${MoneyBars} dashboard=${dashboard} />
      <${BreakEven} dashboard=${dashboard} />
    </section>
  `;
}

/** The current ROI beside the target and the expected one. @param {{ dashboard: Dashboard }} props */
function Rois({ dashboard }) {
  const t = texts.value;
  const { roi, provenance } = dashboard;
  const current = roi.currentRoi;
  const basis = revenueBasis(roi.revenue, provenance);
  return html`
    <dl class="rois">
      <div>
        <dt>${figureName("roi.currentRoi", dashboard)}</dt>
        <dd>
          <${Explained} path="roi.currentRoi" dashboard=${dashboard} class="rois-value">
            ${isMissing(current) ? html`<span class="missing">${t.none}</span>` : html`<${RoiText} roi=${current} basis=${basis} />`}
          <//>
        </dd>
      </div>
      <${OtherRoi} path="roi.targetRoi" dashboard=${dashboard} format=${formatPercent} />
      <${OtherRoi} path="roi.estimatedRoi" dashboard=${dashboard} format=${formatSignedPercent} />
    </dl>
    ${isMissing(current) ? html`<p class="note">${missingRoiReason(roi)}</p>` : html`<${RoiBar} roi=${current} target=${roi.targetRoi} expected=${basis !== "recorded"} />`}
    ${!isMissing(current) && basis !== "expected" && current >= -100 && html`<p class="note">${t.event.perHundred(perHundred(current))}</p>`}
  `;
}

/** Revenue for each 100 invested. Near 100 it has a decimal, so that a small loss does not read as none. @param {number} roi */
const perHundred = (roi) => (Math.abs(roi) < 10 ? formatCount(100 + roi, 1) : formatCount(Math.round(100 + roi)));

/** @param {{ path: string, dashboard: Dashboard, format: (value: number) => string }} props */
function OtherRoi({ path, dashboard, format }) {
  const value = valueOf(path, dashboard);
  return html`
    <div>
      <dt>${figureName(path, dashboard)}</dt>
      <dd>
        <${Explained} path=${path} dashboard=${dashboard} class="rois-value">
          ${isMissing(value) ? html`<span class="missing">${texts.value.figureSheet.notSet}</span>` : format(value)}
        <//>
      </dd>
    </div>
  `;
}

/** The amounts that were spent and that came back, with their bars on one scale. @param {{ dashboard: Dashboard }} props */
function MoneyBars({ dashboard }) {
  const t = texts.value.roiPanel;
  const { investment, revenue } = dashboard.roi;
  const basis = revenueBasis(revenue, dashboard.provenance);
  const largest = Math.max(1, investment.total ?? 0, revenue.total ?? 0, revenue.recorded ?? 0, revenue.expected ?? 0);
  const note = { recorded: t.basisRecorded, expected: t.basisExpected, mixed: t.basisMixed(formatPercent(revenue.assumedShare ?? 0)) }[basis];
  return html`
    <div class="money-parts">
      <${Total} path="roi.investment.total" dashboard=${dashboard} missingReason=${texts.value.missingReason.investment} />
      <${Part} path="roi.investment.planned" kind="planned" largest=${largest} dashboard=${dashboard} />
      <${Part} path="roi.investment.channels" kind="recorded" largest=${largest} dashboard=${dashboard} />
    </div>
    <div class="money-parts">
      <${Total} path="roi.revenue.total" dashboard=${dashboard} missingReason=${texts.value.missingReason.revenue} />
      <${Part} path="roi.revenue.recorded" kind="recorded" earned largest=${largest} dashboard=${dashboard} />
      <${Part} path="roi.revenue.expected" kind="assumed" earned largest=${largest} dashboard=${dashboard} />
      ${!isMissing(revenue.total) && html`<p class="note">${note}</p>`}
    </div>
  `;
}

/** @param {{ path: string, dashboard: Dashboard, missingReason: string }} props */
function Total({ path, dashboard, missingReason }) {
  const value = valueOf(path, dashboard);
  const origin = originOf(path, dashboard);
  return html`
    <p class="money-total">
      <${Explained} class="money-figure" path=${path} dashboard=${dashboard}>
        <span class="money-name">${figureName(path, dashboard)}</span>
        ${isMissing(value) ? html`<span class="missing">${texts.value.none}</span>` : html`<strong><${Money} value=${value} /></strong>`}
      <//>
      ${origin && html`<${KindBadge} kind=${origin.kind} />`}
    </p>
    ${isMissing(value) && html`<p class="note">${missingReason}</p>`}
  `;
}

/**
 * @param {object} props
 * @param {string} props.path
 * @param {"recorded" | "planned" | "assumed"} props.kind
 * @param {boolean} [props.earned] money that came back, and not money that was spent
 * @param {number} props.largest the amount of the longest bar
 * @param {Dashboard} props.dashboard
 */
function Part({ path, kind, earned = false, largest, dashboard }) {
  const t = texts.value.roiPanel;
  const value = valueOf(path, dashboard);
  return html`
    <div class="money-part">
      <${Explained} class="money-figure" path=${path} dashboard=${dashboard}>
        <span class="money-name"><span class="money-key ${kind} ${earned ? "accent" : "neutral"}" aria-hidden="true"></span>${figureName(path, dashboard)} ${path === "roi.investment.channels" && html`<small>${t.spent}</small>`}</span>
        ${isMissing(value)
          ? html`<span class="missing">${path === "roi.revenue.recorded" ? texts.value.figureSheet.noSales : texts.value.figureSheet.notSet}</span>`
          : html`<${Money} value=${value} />`}
      <//>
      <${Bar} part=${value ?? 0} whole=${largest} variant="${earned ? "accent" : "neutral"} ${kind}" />
    </div>
  `;
}

/** How many of the participants that it takes have come. @param {{ dashboard: Dashboard }} props */
function BreakEven({ dashboard }) {
  const t = texts.value.roiPanel;
  const { roi, summary, provenance } = dashboard;
  const needed = roi.breakEvenParticipants;
  const came = summary.totalParticipants ?? 0;
  const expected = revenueBasis(roi.revenue, provenance) !== "recorded";
  return html`
    <div class="break-even">
      <p class="money-total">
        <${Explained} class="money-figure" path="roi.breakEvenParticipants" dashboard=${dashboard}>
          <span class="money-name">${t.breakEven}</span>
          ${isMissing(needed) ? html`<span class="missing">${texts.value.none}</span>` : html`<strong>${came < needed ? t.cameOf(formatCount(came), formatCount(needed)) : t.needed(formatCount(needed))}</strong>`}
        <//>
        ${!isMissing(needed) && html`<${KindBadge} kind=${originOf("roi.breakEvenParticipants", dashboard)?.kind ?? "estimated"} />`}
      </p>
      ${!isMissing(needed) && html`<${Bar} part=${came} whole=${Math.max(needed, came, 1)} variant=${expected ? "accent assumed" : "accent"} />`}
      <p class="note">${isMissing(needed) ? missingBreakEven(roi, came) : breakEvenNote(dashboard, needed - came, expected)}</p>
    </div>
  `;
}

/** @param {Dashboard["roi"]} roi @param {number} came */
function missingBreakEven(roi, came) {
  const t = texts.value.missingReason;
  return came ? (moneyMissingReason(roi) ?? t.breakEvenNoRevenue) : t.costPerParticipant;
}

/** How far the break-even is away. With expected revenue nothing is reached yet. @param {Dashboard} dashboard @param {number} left @param {boolean} expected */
function breakEvenNote(dashboard, left, expected) {
  const t = texts.value.event;
  if (expected) return t.breakEvenExpected;
  if (left === 0) return t.breakEvenReached;
  if (left < 0) return t.breakEvenPassed(formatCount(-left));
  return (isOver(dashboard, now.value) ? t.breakEvenMissed : t.breakEvenRemaining)(formatCount(left));
}

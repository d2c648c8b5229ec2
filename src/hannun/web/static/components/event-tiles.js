/** The tiles of an event: participants, ROI, money, and the smaller ones. */
import { html } from "../html.js";
import { formatCount, formatMoney, formatMoneyShort, formatPercent, formatRoi, formatSignedPercent } from "../format.js";
import { texts } from "../state.js";
import { Bar, RoiBar } from "./bars.js";
import { AnimatedNumber, Money } from "./number.js";
import { measuredOrNull, provenanceOf, Tile, Value } from "./tile.js";

/** @typedef {import("../api-types.js").Dashboard} Dashboard */

/** Whether revenue is expected rather than recorded. @param {Dashboard["roi"]} roi @returns {"recorded" | "mixed" | "expected"} */
export function revenueKind({ revenue }) {
  const recorded = revenue.recorded ?? 0;
  if (revenue.assumedShare === null || revenue.assumedShare === undefined) return recorded > 0 ? "recorded" : "expected";
  if (revenue.assumedShare <= 0) return "recorded";
  return recorded > 0 ? "mixed" : "expected";
}

/** @param {{ dashboard: Dashboard }} props */
export function ParticipantsTile({ dashboard: { summary, provenance } }) {
  const t = texts.value;
  const total = summary.totalParticipants;
  const unattributed = summary.unattributedParticipants;
  return html`
    <${Tile} class="hero" badgeInHead name=${t.tile.participants} definition=${t.definitions.participants} provenance=${provenanceOf(summary.totalParticipants, provenance, "summary.totalParticipants")}>
      <${Value}
        figure=${total}
        missingReason=${t.missingReason.participants}
        note=${unattributed ? t.event.unattributed(formatCount(unattributed)) : total ? t.event.allAttributed : null}
      >
        <${AnimatedNumber} value=${total} format=${formatCount} /><${Unit} unit=${t.participantsUnit} />
      <//>
      <${Delta} summary=${summary} />
    <//>
  `;
}

/** The unit of a number in smaller type; nothing if the language has none. @param {{ unit: (n: string) => string }} props */
const Unit = ({ unit }) => (unit("") ? html`<span class="unit">${unit("")}</span>` : null);

/** The change against the period before: "new" without a base (never +100 %), and without a colour if nothing changed. @param {{ summary: import("../api-types.js").Summary }} props */
function Delta({ summary }) {
  const t = texts.value.event;
  if (!summary.previous) return null;
  const delta = summary.delta?.totalParticipants;
  const upTo = summary.previous.partial ? ` ${t.deltaPartial}` : "";
  if (delta === null || delta === undefined) return html`<p class="note">${t.deltaNew}${upTo}</p>`;
  if (delta === 0) return html`<p class="note">${t.deltaSame}${upTo}</p>`;
  return html`<p class="note ${delta > 0 ? "gain" : "loss"}">
    <span aria-hidden="true">${delta > 0 ? "▲" : "▼"}</span> ${t.delta(formatSignedPercent(delta))}${upTo}
  </p>`;
}

/** @param {{ dashboard: Dashboard }} props */
export function RoiTile({ dashboard: { roi, provenance } }) {
  const t = texts.value;
  const current = roi.currentRoi;
  const expected = revenueKind(roi) !== "recorded";
  return html`
    <${Tile} class="roi-tile" badgeInHead name=${t.tile.roi} definition=${t.definitions.roi} provenance=${provenanceOf(roi.currentRoi, provenance, "roi.currentRoi")}>
      ${current === null || current === undefined
        ? html`<${Value} figure=${null} missingReason=${moneyMissingReason(roi) ?? t.missingReason.roi} />
            ${isMissing(roi.targetRoi) && html`<p class="note">${t.event.noTarget}</p>`}`
        : html`
            <p class="value ${current < 0 ? "loss" : current > 0 ? "gain" : ""}"><${AnimatedNumber} value=${current} format=${formatRoi} /></p>
            <${RoiBar} roi=${current} target=${roi.targetRoi} expected=${expected} />
            <p class="note">${targetNote(current, roi.targetRoi)}</p>
            ${current >= -100 &&
            html`<p class="note">${(expected ? t.event.perHundredExpected : t.event.perHundred)(perHundred(current))}</p>`}
          `}
    <//>
  `;
}

/** @param {import("../api-types.js").Figure} figure */
const isMissing = (figure) => figure === null || figure === undefined;

/** Which amount an ROI lacks: nobody has set it. Null where both are known. @param {Partial<Dashboard["roi"]>} roi @returns {string | null} */
export function moneyMissingReason({ investment, revenue }) {
  const t = texts.value.missingReason;
  if (isMissing(investment?.total)) return t.investment;
  return isMissing(revenue?.total) ? t.revenue : null;
}

/** Revenue for each 100 invested. Near 100 it has a decimal, so that a small loss does not read as none. @param {number} roi */
const perHundred = (roi) => (Math.abs(roi) < 10 ? formatCount(100 + roi, 1) : formatCount(Math.round(100 + roi)));

/** @param {number} current @param {import("../api-types.js").Figure} target */
function targetNote(current, target) {
  const t = texts.value.event;
  if (target === null || target === undefined) return t.noTarget;
  return current >= target ? t.targetMet(formatPercent(target)) : t.targetRemaining(formatPercent(target), formatCount(target - current, 2));
}

/** @param {{ dashboard: Dashboard }} props */
export function MoneyTile({ dashboard: { roi, provenance } }) {
  const t = texts.value;
  const { investment, revenue } = roi;
  const kind = revenueKind(roi);
  const larger = Math.max(investment.total ?? 0, revenue.total ?? 0);
  const revenueName = { recorded: t.tile.revenue, expected: t.tile.revenueExpected, mixed: t.tile.revenueMixed }[kind];
  const revenueNote = { recorded: t.event.revenueRecorded, expected: t.event.revenueExpected, mixed: t.event.revenueMixed }[kind];
  const full = moneyMissingReason(roi) === null
    ? `${t.tile.investment} ${formatMoney(investment.total ?? 0)} · ${revenueName} ${formatMoney(revenue.total ?? 0)}`
    : undefined;
  return html`
    <${Tile} class="money-tile" badgeInHead name=${t.tile.money} definition=${t.definitions.money} provenance=${provenanceOf(roi.revenue.total, provenance, "roi.revenue.total")} full=${full}>
      <dl class="money-lines">
        <div>
          <dt>${t.tile.investment}</dt>
          <dd><${Value} figure=${investment.total} missingReason=${t.missingReason.investment}><${Money} value=${investment.total} /><//></dd>
          <dd class="bar-line"><${Bar} part=${investment.total ?? 0} whole=${larger} variant="neutral" /></dd>
          ${(investment.planned ?? null) !== null &&
          (investment.channels ?? null) !== null &&
          html`<dd class="note">
            ${t.event.investmentParts(formatMoneyShort(investment.planned ?? 0), formatMoneyShort(investment.channels ?? 0))}
          </dd>`}
        </div>
        <div>
          <dt>${revenueName}</dt>
          <dd><${Value} figure=${revenue.total} missingReason=${t.missingReason.revenue}><${Money} value=${revenue.total} /><//></dd>
          <dd class="bar-line"><${Bar} part=${revenue.total ?? 0} whole=${larger} variant=${kind === "recorded" ? "accent" : "accent hatched"} /></dd>
          ${(revenue.total ?? null) !== null && html`<dd class="note">${revenueNote}</dd>`}
        </div>
      </dl>
    <//>
  `;
}

/** @param {{ dashboard: Dashboard }} props */
export function SmallTiles({ dashboard: { summary, roi, provenance } }) {
  const t = texts.value;
  const participants = summary.totalParticipants ?? 0;
  const views = measuredOrNull(summary.totalViews, provenance, "summary.totalViews");
  const viewsMissing = views === null;
  const breakEven = roi.breakEvenParticipants;
  const remaining = (breakEven ?? 0) - participants;
  return html`
    <div class="small-tiles">
      <${Tile} name=${t.tile.views} definition=${t.definitions.views} provenance=${provenanceOf(views, provenance, "summary.totalViews")}>
        <${Value} figure=${views} missingReason=${t.missingReason.views} note=${t.event.viewsSum}>
          <${AnimatedNumber} value=${views} format=${formatCount} /><${Unit} unit=${t.viewsUnit} />
        <//>
      <//>
      <${Tile} name=${t.tile.conversionRate} definition=${t.definitions.conversionRate} provenance=${provenanceOf(summary.conversionRate, provenance, "summary.conversionRate")}>
        <${Value} figure=${summary.conversionRate} missingReason=${viewsMissing ? t.missingReason.views : t.missingReason.conversionRate} note=${t.event.clicksToConversions}>
          <${AnimatedNumber} value=${summary.conversionRate} format=${formatPercent} />
        <//>
      <//>
      <${Tile}
        name=${t.tile.costPerParticipant}
        definition=${t.definitions.costPerParticipant}
        provenance=${provenanceOf(roi.costPerParticipant, provenance, "roi.costPerParticipant")}
        full=${roi.costPerParticipant ? formatMoney(roi.costPerParticipant) : undefined}
      >
        <${Value} figure=${roi.costPerParticipant} missingReason=${participants ? t.missingReason.investment : t.missingReason.costPerParticipant} note=${t.event.perParticipant}>
          <${Money} value=${roi.costPerParticipant} />
        <//>
      <//>
      <${Tile} name=${t.tile.breakEven} definition=${t.definitions.breakEven} provenance=${provenanceOf(roi.breakEvenParticipants, provenance, "roi.breakEvenParticipants")}>
        <${Value}
          figure=${breakEven}
          missingReason=${participants ? (moneyMissingReason(roi) ?? t.missingReason.breakEvenNoRevenue) : t.missingReason.costPerParticipant}
          note=${remaining > 0 ? t.event.breakEvenRemaining(formatCount(remaining)) : t.event.breakEvenReached}
        >
          <${AnimatedNumber} value=${breakEven} format=${formatCount} /><${Unit} unit=${t.participantsUnit} />
        <//>
      <//>
    </div>
  `;
}

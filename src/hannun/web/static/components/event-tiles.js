/** The tiles of an event: participants, ROI, money, and the smaller ones. */
import { html } from "../html.js";
import { isOver } from "../event-phase.js";
import { formatCount, formatMoney, formatMoneyShort, formatPercent, formatSignedPercent } from "../format.js";
import { now, texts } from "../state.js";
import { KindBadge } from "./badge.js";
import { Bar, RoiBar } from "./bars.js";
import { AnimatedNumber, Money } from "./number.js";
import { isMissing, missingRoiReason, moneyMissingReason, revenueBasis, RoiText, targetText } from "./roi.js";
import { measuredOrNull, provenanceOf, Tile, Value } from "./tile.js";

/** @typedef {import("../api-types.js").Dashboard} Dashboard */

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
export function RoiTile({ dashboard }) {
  const t = texts.value;
  const { roi, provenance } = dashboard;
  const current = roi.currentRoi;
  const basis = revenueBasis(roi.revenue, provenance);
  return html`
    <${Tile} class="roi-tile" badgeInHead name=${t.tile.roi} definition=${t.definitions.roi} provenance=${provenanceOf(current, provenance, "roi.currentRoi")}>
      ${isMissing(current)
        ? html`<${Value} figure=${null} missingReason=${missingRoiReason(roi)} />
            ${isMissing(roi.targetRoi) && html`<p class="note">${t.event.noTarget}</p>`}`
        : html`
            <p class="value"><${RoiText} roi=${current} basis=${basis} /></p>
            <${RoiBar} roi=${current} target=${roi.targetRoi} expected=${basis !== "recorded"} />
            ${roiNotes(dashboard, current, basis).map((note) => html`<p class="note">${note}</p>`)}
          `}
    <//>
  `;
}

/** What an ROI means: a recorded one against the target and for each 100 won, an expected one only as expected. @param {Dashboard} dashboard @param {number} current @param {import("./roi.js").RevenueBasis} basis */
function roiNotes(dashboard, current, basis) {
  const t = texts.value.event;
  const target = dashboard.roi.targetRoi;
  if (basis === "expected") {
    return [targetText(target), isOver(dashboard, now.value) ? t.noSalesRecorded : t.roiExpectedNote];
  }
  const notes = [targetNote(current, target, isOver(dashboard, now.value))];
  if (current >= -100) notes.push(t.perHundred(perHundred(current)));
  return notes;
}

/** Revenue for each 100 invested. Near 100 it has a decimal, so that a small loss does not read as none. @param {number} roi */
const perHundred = (roi) => (Math.abs(roi) < 10 ? formatCount(100 + roi, 1) : formatCount(Math.round(100 + roi)));

/** @param {number} current @param {import("../api-types.js").Figure} target @param {boolean} over */
function targetNote(current, target, over) {
  const t = texts.value.event;
  if (isMissing(target)) return t.noTarget;
  if (current >= target) return t.targetMet(formatPercent(target));
  return (over ? t.targetMissed : t.targetRemaining)(formatPercent(target), formatCount(target - current, 2));
}

/** @param {{ dashboard: Dashboard }} props */
export function MoneyTile({ dashboard: { roi, provenance } }) {
  const t = texts.value;
  const { investment, revenue } = roi;
  const basis = revenueBasis(revenue, provenance);
  const larger = Math.max(investment.total ?? 0, revenue.total ?? 0);
  const revenueName = { recorded: t.tile.revenue, expected: t.tile.revenueExpected, mixed: t.tile.revenueMixed }[basis];
  const revenueNote = { recorded: t.event.revenueRecorded, expected: t.event.revenueExpected, mixed: t.event.revenueMixed }[basis];
  const full = [
    [t.tile.investment, investment.total],
    [revenueName, revenue.total],
  ].flatMap(([name, amount]) => (typeof amount === "number" ? [`${name} ${formatMoney(amount)}`] : []));
  return html`
    <${Tile} class="money-tile" name=${t.tile.money} definition=${t.definitions.money} full=${full.join(" · ") || undefined}>
      <dl class="money-lines">
        <${MoneyLine}
          name=${t.tile.investment}
          amount=${investment.total}
          larger=${larger}
          variant="neutral"
          provenance=${provenanceOf(investment.total, provenance, "roi.investment.total")}
          missingReason=${t.missingReason.investment}
          note=${investmentNote(investment)}
        />
        <${MoneyLine}
          name=${revenueName}
          amount=${revenue.total}
          larger=${larger}
          variant=${basis === "recorded" ? "accent" : "accent hatched"}
          provenance=${provenanceOf(revenue.total, provenance, "roi.revenue.total")}
          missingReason=${t.missingReason.revenue}
          note=${revenueNote}
        />
      </dl>
    <//>
  `;
}

/** The parts of the investment that were set. @param {Dashboard["roi"]["investment"]} investment */
function investmentNote({ planned, channels }) {
  const t = texts.value.event;
  const parts = [];
  if (!isMissing(planned)) parts.push(t.investmentPlanned(formatMoneyShort(planned)));
  if (!isMissing(channels)) parts.push(t.investmentChannels(formatMoneyShort(channels)));
  return parts.join(" + ");
}

/**
 * An amount with its kind and a bar; `larger` is the amount of the longest bar.
 * @param {object} props
 * @param {string} props.name
 * @param {import("../api-types.js").Figure} props.amount
 * @param {number} props.larger
 * @param {string} props.variant
 * @param {{ kind: import("../api-types.js").FigureKind } | null} props.provenance
 * @param {string} props.missingReason
 * @param {string} props.note
 */
const MoneyLine = ({ name, amount, larger, variant, provenance, missingReason, note }) => html`
  <div>
    <dt>${name} ${provenance && html`<${KindBadge} kind=${provenance.kind} />`}</dt>
    <dd><${Value} figure=${amount} missingReason=${missingReason}><${Money} value=${amount} /><//></dd>
    <dd class="bar-line"><${Bar} part=${amount ?? 0} whole=${larger} variant=${variant} /></dd>
    ${!isMissing(amount) && html`<dd class="note">${note}</dd>`}
  </div>
`;

/** @param {{ dashboard: Dashboard }} props */
export function SmallTiles({ dashboard }) {
  const t = texts.value;
  const { summary, roi, provenance } = dashboard;
  const participants = summary.totalParticipants ?? 0;
  const views = measuredOrNull(summary.totalViews, provenance, "summary.totalViews");
  const viewsMissing = views === null;
  const breakEven = roi.breakEvenParticipants;
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
          missingReason=${breakEvenMissingReason(roi, participants)}
          note=${breakEvenNote(dashboard, participants)}
        >
          <${AnimatedNumber} value=${breakEven} format=${formatCount} /><${Unit} unit=${t.participantsUnit} />
        <//>
      <//>
    </div>
  `;
}

/** @param {Dashboard["roi"]} roi @param {number} participants */
function breakEvenMissingReason(roi, participants) {
  const t = texts.value.missingReason;
  if (!participants) return t.costPerParticipant;
  return moneyMissingReason(roi) ?? t.breakEvenNoRevenue;
}

/** How far the break-even is away. With expected revenue nothing is reached yet. @param {Dashboard} dashboard @param {number} participants */
function breakEvenNote(dashboard, participants) {
  const t = texts.value.event;
  const { roi, provenance } = dashboard;
  if (revenueBasis(roi.revenue, provenance) !== "recorded") return t.breakEvenExpected;
  const missing = (roi.breakEvenParticipants ?? 0) - participants;
  if (missing <= 0) return t.breakEvenReached;
  return (isOver(dashboard, now.value) ? t.breakEvenMissed : t.breakEvenRemaining)(formatCount(missing));
}

/** From impressions to conversions: each step with its count, and how much of the step before leads to it. */
import { html } from "../html.js";
import { originOf, sharePath, valueOf } from "../figures.js";
import { formatPercent } from "../format.js";
import { isMissing } from "../provenance.js";
import { texts } from "../state.js";
import { KindBadge } from "./badge.js";
import { Bar } from "./bars.js";
import { Explained, figureName, formatFigure } from "./figure-sheet.js";

/** @typedef {import("../api-types.js").Dashboard} Dashboard */
/** A step with its count and the known step before it. @typedef {{ path: string, count: number | null, before: string | null, share: number | null }} Step */

const STEPS = ["summary.totalReach", "summary.totalViews", "summary.totalClicks", "summary.totalParticipants", "summary.totalConversions"];
const RATES = ["summary.clickThroughRate", "summary.participationRate", "summary.conversionRate", "summary.engagementRate"];

/** @param {{ dashboard: Dashboard }} props */
export function Funnel({ dashboard }) {
  const t = texts.value.funnel;
  const steps = stepsOf(dashboard);
  const largest = Math.max(1, ...steps.map(({ count }) => count ?? 0));
  return html`
    <section class="card funnel" aria-labelledby="funnel-title">
      <div class="section-head"><h2 id="funnel-title" tabindex="-1">${t.title}</h2></div>
      <p class="section-lead">${leadOf(steps, dashboard)}</p>
      <ol class="funnel-steps">
        ${steps.map((step) => html`<${StepRow} key=${step.path} step=${step} largest=${largest} dashboard=${dashboard} />`)}
      </ol>
      <ul class="rates">
        ${RATES.map((path) => html`<${Rate} key=${path} path=${path} dashboard=${dashboard} />`)}
      </ul>
    </section>
  `;
}

/** @param {Dashboard} dashboard @returns {Step[]} */
function stepsOf(dashboard) {
  /** @type {string | null} */
  let known = null;
  return STEPS.map((path) => {
    const count = valueOf(path, dashboard) ?? null;
    const before = count === null ? null : known;
    if (count) known = path;
    return { path, count, before, share: before ? (valueOf(sharePath(path, before), dashboard) ?? null) : null };
  });
}

/** Where the most are lost, in words. @param {Step[]} steps @param {Dashboard} dashboard */
function leadOf(steps, dashboard) {
  const t = texts.value.funnel;
  const [first] = steps.filter(({ count }) => count);
  const people = steps.find(({ path }) => path === "summary.totalParticipants");
  if (!people?.count || !first || first === people) return t.empty;
  const lead = t.lead(figureName(first.path, dashboard), formatFigure(first.path, first.count ?? 0), formatFigure(people.path, people.count));
  const losses = steps.filter(({ share }) => share !== null && share < 100).sort((a, b) => (a.share ?? 0) - (b.share ?? 0));
  const [worst] = losses;
  return worst?.before && losses.length > 1 ? `${lead} ${t.worst(figureName(worst.before, dashboard), figureName(worst.path, dashboard))}` : lead;
}

/** @param {{ step: Step, largest: number, dashboard: Dashboard }} props */
function StepRow({ step: { path, count, before, share }, largest, dashboard }) {
  const t = texts.value.funnel;
  return html`
    <li class="funnel-step">
      ${before &&
      share !== null &&
      html`<p class="step-rate">
        <span aria-hidden="true">↓</span>
        <${Explained} class="named" path=${sharePath(path, before)} dashboard=${dashboard}>
          ${share > 100 ? t.more(figureName(before, dashboard)) : t.share(figureName(before, dashboard), formatPercent(share))}
        <//>
      </p>`}
      <${Explained} class="step-figure" path=${path} dashboard=${dashboard}>
        <span class="step-name">${figureName(path, dashboard)}</span>
        ${isMissing(count) ? html`<span class="step-missing">${texts.value.figureSheet.notMeasured}</span>` : html`<strong>${formatFigure(path, count)}</strong>`}
      <//>
      <${Bar} part=${count ?? 0} whole=${largest} variant=${isMissing(count) ? "unmeasured" : path === "summary.totalParticipants" ? "accent" : "neutral"} />
    </li>
  `;
}

/** @param {{ path: string, dashboard: Dashboard }} props */
function Rate({ path, dashboard }) {
  const value = valueOf(path, dashboard);
  const origin = originOf(path, dashboard);
  return html`<li>
    <${Explained} class="rate" path=${path} dashboard=${dashboard}>
      <span class="rate-name">${figureName(path, dashboard)}</span>
      <strong class=${isMissing(value) ? "missing" : ""}>${isMissing(value) ? texts.value.none : formatFigure(path, value)}</strong>
      ${origin && origin.kind !== "measured" && html`<${KindBadge} kind=${origin.kind} />`}
    <//>
  </li>`;
}

/** What a merchant could do now: at most three sentences of the service, each with its reason and the figures behind it. */
import { useState } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { isOngoing } from "../event-phase.js";
import { isDefined, valueOf } from "../figures.js";
import { isMissing } from "../provenance.js";
import { lang, now, texts } from "../state.js";
import { Explained, figureName, formatFigure } from "./figure-sheet.js";
import { RetryNote } from "./retry-note.js";

/** @typedef {import("../api-types.js").Dashboard} Dashboard */
/** @typedef {import("../api-types.js").Advice} AdviceText */

/** The parts of the page that facts which are no figure stand on. */
const SECTIONS = /** @type {const} */ ([
  ["heatMap", "heat-map-title"],
  ["channelPerformance", "channels-title"],
]);

/** @param {{ dashboard: Dashboard, insights: import("../api-types.js").Insights | null, failed: boolean, retry: () => void }} props */
export function Advice({ dashboard, insights, failed, retry }) {
  const t = texts.value.advice;
  return html`
    <section class="card advice" aria-labelledby="advice-title" aria-busy=${!insights && !failed ? "true" : "false"}>
      <div class="section-head"><h2 id="advice-title">${t.title}</h2></div>
      ${!insights
        ? failed
          ? html`<${RetryNote} text=${t.failed} retry=${retry} />`
          : html`<p class="sr-only">${t.loading}</p>`
        : insights.advice.length === 0
          ? html`<${NoAdvice} dashboard=${dashboard} />`
          : html`<ul class="advice-list">
              ${insights.advice.map((each) => html`<${AdviceItem} key=${each.code} advice=${each} dashboard=${dashboard} />`)}
            </ul>`}
    </section>
  `;
}

/** Nothing to do; or, where nothing was ever received of an event that runs, how it comes in. @param {{ dashboard: Dashboard }} props */
function NoAdvice({ dashboard }) {
  const t = texts.value.advice;
  const hasFigures = Boolean(dashboard.summary.totalParticipants) || dashboard.channelPerformance.length > 0;
  if (hasFigures || !isOngoing(dashboard, now.value)) return html`<p class="note">${t.none}</p>`;
  return html`
    <p class="section-lead">${t.nothingYet}</p>
    <p class="note">${t.developers}${" "}<a href="/docs" data-native>${t.docs}</a></p>
  `;
}

/** @param {{ advice: AdviceText, dashboard: Dashboard }} props */
const AdviceItem = ({ advice, dashboard }) => html`
  <li class="advice-item advice-${advice.code}">
    <p class="advice-text">${advice.text[lang.value]}</p>
    <p class="advice-why">${advice.why[lang.value]}</p>
    <${Facts} facts=${advice.facts} dashboard=${dashboard} />
  </li>
`;

/** The figures that an advice stands on: each opens its explanation, or leads to its part of the page. A phone shows them on request. @param {{ facts: AdviceText["facts"], dashboard: Dashboard }} props */
function Facts({ facts, dashboard }) {
  const t = texts.value.advice;
  const [open, setOpen] = useState(false);
  const paths = facts.map(({ path }) => path);
  const figures = paths.filter((path) => isDefined(path) && !isMissing(valueOf(path, dashboard)));
  const sections = SECTIONS.filter(([prefix]) => paths.some((path) => path.startsWith(prefix) && !isDefined(path)));
  if (figures.length + sections.length === 0) return null;
  return html`
    <button type="button" class="facts-switch" aria-expanded=${open} onClick=${() => setOpen(!open)}>${open ? t.hideFacts : t.showFacts}</button>
    <ul class=${open ? "facts open" : "facts"} aria-label=${t.facts}>
      ${figures.map(
        (path) => html`<li key=${path}>
          <${Explained} class="chip" path=${path} dashboard=${dashboard}>${figureName(path, dashboard)} <strong>${formatFigure(path, valueOf(path, dashboard) ?? 0)}</strong><//>
        </li>`,
      )}
      ${sections.map(([prefix, id]) => html`<li key=${prefix}><button type="button" class="chip" onClick=${() => showSection(id)}>${t.sections[prefix]}</button></li>`)}
    </ul>
  `;
}

/** @param {string} headingId */
function showSection(headingId) {
  const heading = document.getElementById(headingId);
  heading?.scrollIntoView({ block: "start" });
  heading?.focus({ preventScroll: true });
}

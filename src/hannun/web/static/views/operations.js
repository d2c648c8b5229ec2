/** For administrators: what the checks of the running system find (`hannun doctor`), with what corrects it. */
import { signal } from "../vendor/signals.js";
import { useEffect, useMemo } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { getJson, Problem } from "../api.js";
import { formatDateTime } from "../format.js";
import { hrefFor, lang, texts } from "../state.js";
import { ProblemView } from "../components/problem.js";
import { Skeleton } from "../components/skeleton.js";

/** @typedef {import("../api-types.js").Checkup} Checkup */

const URL = "/api/v1/operations/checks";
const PERIOD_MS = 30_000;

/** Icons of the severities, in a view box of 10 by 10: none depends on colour alone. */
const ICONS = {
  critical: () => html`<path d="M2.2 2.2l5.6 5.6M7.8 2.2l-5.6 5.6" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" />`,
  warning: () => html`<path d="M5 1.6v4" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" /><circle cx="5" cy="8.2" r="1.1" fill="currentColor" />`,
  notice: () => html`<circle cx="5" cy="1.9" r="1.1" fill="currentColor" /><path d="M5 4.4v4" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" />`,
  ok: () => html`<path d="M1.8 5.4l2.2 2.2 4.2-5" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" />`,
};

/** @param {{ severity: keyof typeof ICONS, label: string }} props */
const Severity = ({ severity, label }) => html`
  <span class="severity severity-${severity}"><svg viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">${ICONS[severity]()}</svg>${label}</span>
`;

/** A check's state as an icon: a skipped or unfinished check is no success. @param {string} state @returns {keyof typeof ICONS} */
const iconOf = (state) => (state === "ok" ? "ok" : state === "skipped" ? "notice" : "warning");

/** @param {{ finding: import("../api-types.js").CheckFinding }} props */
function Finding({ finding }) {
  const t = texts.value.operations;
  return html`
    <li class="card finding">
      <p class="finding-head">
        <${Severity} severity=${finding.severity} label=${t.severities[finding.severity]} />
        <span>${t.checks[finding.check] ?? finding.check}</span>
        <code>${finding.check}</code>
      </p>
      <h2>${finding.subject}</h2>
      <p>${finding.cause}</p>
      <p class="remedy"><strong>${t.remedy}</strong> ${finding.remedy}</p>
      ${finding.statements.length > 0 && html`<pre tabindex="0" aria-label=${t.statements}>${finding.statements.join("\n")}</pre>`}
    </li>
  `;
}

/** @param {{ checkup: Checkup }} props */
function Results({ checkup }) {
  const t = texts.value.operations;
  const found = checkup.findings.length;
  return html`
    <ul class="findings">
      ${checkup.findings.map((finding, number) => html`<${Finding} key=${number} finding=${finding} />`)}
    </ul>
    <section class="card checks" aria-labelledby="checks">
      <h2 id="checks">${found ? t.allChecks : t.allChecksFine}</h2>
      <ul>
        ${checkup.checks.map(
          (each) => html`
            <li key=${each.check}>
              <${Severity} severity=${iconOf(each.state)} label=${t.outcomes[each.state]} />
              <span>${t.checks[each.check] ?? each.check}</span>
              ${each.reason && html`<small>${each.reason}</small>`}
            </li>
          `,
        )}
      </ul>
    </section>
  `;
}

export function OperationsView() {
  const t = texts.value.operations;
  const checkup = useMemo(() => signal(/** @type {Checkup | null} */ (null)), []);
  const problem = useMemo(() => signal(/** @type {Problem | null} */ (null)), []);
  const load = async () => {
    try {
      checkup.value = await getJson(URL);
      problem.value = null;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      problem.value = error;
    }
  };
  // The texts of the findings are the service's, in the language of the request.
  useEffect(() => {
    document.title = `${t.title} · ${texts.value.name}`;
    load();
    const timer = setInterval(() => document.hidden || load(), PERIOD_MS);
    return () => clearInterval(timer);
  }, [lang.value]);

  if (checkup.value === null) {
    return problem.value ? html`<${ProblemView} problem=${problem.value} subject="user" retry=${load} />` : html`<${Skeleton} tiles=${4} />`;
  }
  return html`
    <div class="page-head">
      <a class="back" href=${hrefFor("/")}><span aria-hidden="true">‹</span> ${t.back}</a>
      <h1 tabindex="-1">${t.title}</h1>
      <p class="headline" role="status">${t.headline(checkup.value.severity, checkup.value.findings.length)}</p>
      <p class="live-line">
        ${problem.value ? t.notUpdated(formatDateTime(checkup.value.checkedAt)) : t.checkedAt(formatDateTime(checkup.value.checkedAt))}
      </p>
    </div>
    <${Results} checkup=${checkup.value} />
  `;
}

/** What the checks of the running system find (`hannun doctor`), with what corrects it. */
import { html } from "../html.js";
import { texts } from "../state.js";
import { Severity } from "./severity.js";

/** @typedef {import("../api-types.js").Checkup} Checkup */

/** A check's state as an icon: a skipped or unfinished check is no success. @param {string} state @returns {import("./severity.js").SeverityName} */
const iconOf = (state) => (state === "ok" ? "ok" : state === "skipped" ? "notice" : "warning");

/** The title of a check. A finding on a part of the system has another subject. @param {string} check */
const titleOf = (check) => texts.value.operations.checks[check] ?? check;

/** @param {{ checkup: Checkup }} props */
export const Findings = ({ checkup }) => html`
  <ul class="findings">
    ${checkup.findings.map((finding, number) => html`<${Finding} key=${number} finding=${finding} />`)}
  </ul>
`;

/** @param {{ finding: import("../api-types.js").CheckFinding }} props */
function Finding({ finding }) {
  const t = texts.value.operations;
  return html`
    <li class="card finding">
      <p class="finding-head">
        <${Severity} severity=${finding.severity} label=${t.severities[finding.severity]} />
        <span>${titleOf(finding.check)}</span>
      </p>
      <h2>${titleOf(finding.subject)}</h2>
      <p>${finding.cause}</p>
      <p class="remedy"><strong>${t.remedy}</strong> ${finding.remedy}</p>
      ${finding.statements.length > 0 && html`<pre tabindex="0" aria-label=${t.statements}>${finding.statements.join("\n")}</pre>`}
      <p class="note">${t.described(finding.check)}</p>
    </li>
  `;
}

/** What a check found, by the word of its worst finding; else how it ended. @param {{ outcome: Checkup["checks"][number], findings: Checkup["findings"] }} props */
function Outcome({ outcome, findings }) {
  const t = texts.value.operations;
  const worst = findings.find(({ check }) => check === outcome.check); // the worst come first
  if (worst) return html`<${Severity} severity=${worst.severity} label=${t.severities[worst.severity]} />`;
  return html`<${Severity} severity=${iconOf(outcome.state)} label=${t.outcomes[outcome.state]} />`;
}

/** @param {{ checkup: Checkup }} props */
export function AllChecks({ checkup }) {
  const t = texts.value.operations;
  return html`
    <section class="card checks" aria-labelledby="checks">
      <h2 id="checks">${checkup.findings.length ? t.allChecks : t.allChecksFine}</h2>
      <ul>
        ${checkup.checks.map(
          (each) => html`
            <li key=${each.check}>
              <${Outcome} outcome=${each} findings=${checkup.findings} />
              <span>${titleOf(each.check)}</span>
              ${each.reason && html`<small>${each.reason}</small>`}
            </li>
          `,
        )}
      </ul>
    </section>
  `;
}

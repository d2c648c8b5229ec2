/** For administrators: the running system now, what its checks find, and the dead letters. */
import { signal } from "../vendor/signals.js";
import { useEffect, useMemo } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { getJson, Problem } from "../api.js";
import { formatDateTime, formatTimeWithSeconds } from "../format.js";
import { hrefFor, lang, texts } from "../state.js";
import { AllChecks, Findings } from "../components/checkup.js";
import { DeadLettersSection } from "../components/dead-letters.js";
import { ProblemView } from "../components/problem.js";
import { Skeleton } from "../components/skeleton.js";
import { SystemChannels, SystemFigures, SystemPositions } from "../components/system.js";

/** @typedef {import("../api-types.js").Checkup} Checkup */
/** @typedef {import("../api-types.js").OperationsOverview} Overview */

const CHECKS = "/api/v1/operations/checks";
const CHECKS_MS = 30_000;
const OVERVIEW = "/api/v1/operations/overview";
const OVERVIEW_MS = 2_000;

/**
 * An answer that is read again and again while the page is visible. A failure leaves the last answer, and says why.
 * @template T
 * @param {string} url
 * @param {number} periodMs
 */
function usePolled(url, periodMs) {
  const answer = useMemo(() => signal(/** @type {T | null} */ (null)), []);
  const problem = useMemo(() => signal(/** @type {Problem | null} */ (null)), []);
  const load = async () => {
    try {
      answer.value = await getJson(url);
      problem.value = null;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      problem.value = error;
    }
  };
  // The texts of findings are the service's, in the language of the request.
  useEffect(() => {
    let timer = 0;
    let ended = false;
    const again = async () => {
      if (!document.hidden) await load();
      if (!ended) timer = setTimeout(again, periodMs);
    };
    again();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }, [lang.value]);
  return { answer, problem, load };
}

export function OperationsView() {
  const t = texts.value.operations;
  const checks = /** @type {ReturnType<typeof usePolled<Checkup>>} */ (usePolled(CHECKS, CHECKS_MS));
  const system = /** @type {ReturnType<typeof usePolled<Overview>>} */ (usePolled(OVERVIEW, OVERVIEW_MS));
  useEffect(() => {
    document.title = `${t.title} · ${texts.value.name}`;
  }, [lang.value]);

  const checkup = checks.answer.value;
  if (checkup === null) {
    const problem = checks.problem.value;
    return problem ? html`<${ProblemView} problem=${problem} subject="user" retry=${checks.load} />` : html`<${Skeleton} tiles=${4} />`;
  }
  const overview = system.answer.value;
  return html`
    <div class="page-head">
      <a class="back" href=${hrefFor("/")}><span aria-hidden="true">‹</span> ${t.back}</a>
      <h1 tabindex="-1">${t.title}</h1>
      <p class="headline" role="status">${t.headline(checkup.severity, checkup.findings.length)}</p>
      <p class="live-line">${liveText(overview, system.problem.value)}</p>
    </div>
    <${Findings} checkup=${checkup} />
    ${overview ? html`<${SystemFigures} overview=${overview} />` : html`<div class="system-figures system-waiting"></div>`}
    ${overview && html`<${DeadLettersSection} openCount=${overview.counting.deadLettersOpen} />`}
    ${overview && html`<${SystemChannels} overview=${overview} />`} ${overview && html`<${SystemPositions} overview=${overview} />`}
    <${AllChecks} checkup=${checkup} />
    <p class="note checked-at">${checks.problem.value ? t.notUpdated(formatDateTime(checkup.checkedAt)) : t.checkedAt(formatDateTime(checkup.checkedAt))}</p>
  `;
}

/** How new the figures are. @param {Overview | null} overview @param {Problem | null} problem */
function liveText(overview, problem) {
  const t = texts.value.system;
  if (!overview) return problem ? t.failed : "";
  const at = formatTimeWithSeconds(overview.asOf);
  return problem ? t.notLive(at) : t.live(at);
}

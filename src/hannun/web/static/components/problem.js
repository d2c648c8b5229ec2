/** A refusal in human words: what it is, what to do, and the code for those who help. */
import { html } from "../html.js";
import { address, words } from "../state.js";

/**
 * @param {object} props
 * @param {import("../api.js").Problem} props.problem
 * @param {"event" | "user"} props.of
 * @param {() => void} props.retry
 */
export function ProblemView({ problem, of, retry }) {
  const w = words.value.problem;
  const { title, hint } = inWords(problem, of);
  const gone = problem.status === 404 || problem.status === 403;
  return html`
    <section class="empty" role="alert">
      <${Eye} closed=${true} />
      <h1 tabindex="-1">${title}</h1>
      <p>${hint}</p>
      <p class="empty-actions">
        ${!gone && html`<button type="button" class="button primary" onClick=${retry}>${w.retry}</button>`}
        ${gone && html`<a class="button primary" href=${address("/")}>${w.home}</a>`}
      </p>
      <p class="code">${problem.code}${!gone && problem.detail && problem.status ? html` · ${problem.detail}` : ""}</p>
    </section>
  `;
}

/** @param {import("../api.js").Problem} problem @param {"event" | "user"} of */
function inWords(problem, of) {
  const w = words.value.problem;
  if (problem.status === 404) return { title: of === "event" ? w.eventMissing : w.userMissing, hint: w.eventMissingHint };
  if (problem.status === 403) return { title: w.title, hint: w.forbidden };
  if (problem.status === 0) return { title: w.title, hint: w.network };
  if (problem.status === 429) return { title: w.title, hint: w.busy };
  if (problem.status >= 500) return { title: w.title, hint: w.resting };
  return { title: w.title, hint: w.other };
}

export function PageMissing() {
  const w = words.value.problem;
  return html`
    <section class="empty">
      <${Eye} closed=${true} />
      <h1 tabindex="-1">${w.pageMissing}</h1>
      <p>${w.pageMissingHint}</p>
      <p class="empty-actions"><a class="button primary" href=${address("/")}>${w.home}</a></p>
    </section>
  `;
}

/** A share link that opens nothing, or nothing any more. */
export function LinkMissing() {
  const w = words.value.problem;
  return html`
    <section class="empty" role="alert">
      <${Eye} closed=${true} />
      <h1 tabindex="-1">${w.linkMissing}</h1>
      <p>${w.linkMissingHint}</p>
    </section>
  `;
}

/** Our mark: one eye; closed where there is nothing to see. @param {{ closed?: boolean }} props */
export const Eye = ({ closed = false }) => html`
  <svg class="eye" viewBox="0 0 32 32" width="32" height="32" aria-hidden="true">
    ${closed
      ? html`<path d="M3 14c3.6 5 8 7.5 13 7.5S25.4 19 29 14M8 19.5l-2.5 3.5M24 19.5l2.5 3.5M16 21.5v4" fill="none" stroke="currentColor" stroke-width="2.5" stroke-linecap="round" />`
      : html`<path d="M3 16c3.6-5.7 8-8.5 13-8.5S25.4 10.3 29 16c-3.6 5.7-8 8.5-13 8.5S6.6 21.7 3 16z" fill="none" stroke="currentColor" stroke-width="2.5" stroke-linejoin="round" /><circle cx="16" cy="16" r="4.5" fill="currentColor" />`}
  </svg>
`;

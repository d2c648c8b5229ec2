/** Error views: what went wrong and what the user can do; an unexpected error also has its code, for support. */
import { html } from "../html.js";
import { hrefFor, texts } from "../state.js";
import { Logo } from "./logo.js";

/**
 * @param {object} props
 * @param {import("../api.js").Problem} props.problem
 * @param {"event" | "user"} props.subject
 * @param {() => void} props.retry
 */
export function ProblemView({ problem, subject, retry }) {
  const t = texts.value.problem;
  const { title, hint } = problemTexts(problem, subject);
  const unexpected = hint === t.other;
  const permanent = problem.status === 404 || problem.status === 403;
  return html`
    <section class="empty-state" role="alert">
      <${Logo} closed=${true} />
      <h1 tabindex="-1">${title}</h1>
      <p>${hint}</p>
      <p class="empty-state-actions">
        ${!permanent && html`<button type="button" class="button primary" onClick=${retry}>${t.retry}</button>`}
        ${permanent && html`<a class="button primary" href=${hrefFor("/")}>${t.home}</a>`}
      </p>
      ${unexpected && html`<p class="code">${problem.code}${problem.detail && html` · ${problem.detail}`}</p>`}
    </section>
  `;
}

/** @param {import("../api.js").Problem} problem @param {"event" | "user"} subject */
function problemTexts(problem, subject) {
  const t = texts.value.problem;
  if (problem.status === 404) return subject === "event" ? { title: t.eventNotFound, hint: t.eventNotFoundHint } : { title: t.merchantNotFound, hint: t.merchantNotFoundHint };
  if (problem.status === 403) return { title: t.forbiddenTitle, hint: t.forbidden };
  if (problem.status === 0) return { title: t.notLoaded, hint: t.network };
  if (problem.status === 429) return { title: t.notLoaded, hint: t.rateLimited };
  if (problem.status > 500) return { title: t.notLoaded, hint: t.unavailable };
  return { title: t.title, hint: t.other };
}

export function PageNotFound() {
  const t = texts.value.problem;
  return html`
    <section class="empty-state">
      <${Logo} closed=${true} />
      <h1 tabindex="-1">${t.pageNotFound}</h1>
      <p>${t.pageNotFoundHint}</p>
      <p class="empty-state-actions"><a class="button primary" href=${hrefFor("/")}>${t.home}</a></p>
    </section>
  `;
}

/** Shown for a share link that is unknown, expired or revoked. */
export function ShareLinkInvalid() {
  const t = texts.value.problem;
  return html`
    <section class="empty-state" role="alert">
      <${Logo} closed=${true} />
      <h1 tabindex="-1">${t.shareLinkInvalid}</h1>
      <p>${t.shareLinkInvalidHint}</p>
      <p class="empty-state-actions"><a class="button primary" href=${hrefFor("/")}>${t.start}</a></p>
    </section>
  `;
}

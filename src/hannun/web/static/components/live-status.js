/** Shows whether the figures are live and when they last changed; a warning appears only if they are stale. */
import { html } from "../html.js";
import { formatRelativeTime, formatDateTime, formatRecentTime } from "../format.js";
import { now, texts } from "../state.js";
import { useDebouncedState } from "../live-query.js";

/**
 * @param {object} props
 * @param {ReturnType<typeof import("../live-query.js").useLiveQuery>} props.liveQuery
 * @param {string | null | undefined} props.asOf
 */
export function LiveStatus({ liveQuery, asOf }) {
  const t = texts.value.live;
  const debounced = useDebouncedState(liveQuery).value;
  const problem = liveQuery.problem.value;
  // The warning below does not wait, and must not stand under "live".
  const state = debounced === "live" && problem?.transient ? "reconnecting" : debounced;
  return html`
    <div class="live live-${state}">
      <p class="live-line">
        <span class="live-state" role="status"><span class="live-dot" aria-hidden="true"></span>${t[state]}</span>
        ${asOf &&
        html`<span class="live-time">
          <time datetime=${asOf} title=${formatDateTime(asOf)}>${t.changed(formatRelativeTime(asOf, now.value))} (${formatRecentTime(asOf, now.value)})</time>
        </span>`}
      </p>
      ${(state === "offline" || problem?.transient) &&
      asOf &&
      html`<p class="live-warning" role="status">
        <strong>${t.notLive}.</strong> ${problem?.transient && problemReason(problem)} ${t.showingAsOf(formatDateTime(asOf))}
      </p>`}
    </div>
  `;
}

/** @param {import("../api.js").Problem} problem */
function problemReason(problem) {
  const t = texts.value.problem;
  if (problem.status === 0) return t.network;
  return problem.status === 429 ? t.rateLimited : t.unavailable;
}

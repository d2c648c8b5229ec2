/** Whether the numbers are live, and as of when they are. Quiet: it is looked at only when something is in doubt. */
import { html } from "../html.js";
import { ago, dateAndTime, moment } from "../format.js";
import { now, words } from "../state.js";
import { useCalmState } from "../live.js";

/**
 * @param {object} props
 * @param {ReturnType<typeof import("../live.js").useLive>} props.follower
 * @param {string | null | undefined} props.asOf
 */
export function LiveNote({ follower, asOf }) {
  const w = words.value.live;
  const state = useCalmState(follower).value;
  const problem = follower.problem.value;
  return html`
    <div class="live live-${state}">
      <p class="live-line">
        <span class="live-state" role="status"><span class="live-dot" aria-hidden="true"></span>${w[state]}</span>
        ${asOf &&
        html`<span class="live-time">
          ${w.changed}${" "}<time datetime=${asOf} title=${dateAndTime(asOf)}>${ago(asOf, now.value)} (${moment(asOf, now.value)})</time>
        </span>`}
      </p>
      ${(state === "offline" || problem?.passes) &&
      asOf &&
      html`<p class="live-keeping" role="status">
        <strong>${w.notLive}.</strong> ${problem?.passes && why(problem)} ${w.keeping(dateAndTime(asOf))}
      </p>`}
    </div>
  `;
}

/** @param {import("../api.js").Problem} problem */
function why(problem) {
  const w = words.value.problem;
  if (problem.status === 0) return w.network;
  return problem.status === 429 ? w.busy : w.resting;
}

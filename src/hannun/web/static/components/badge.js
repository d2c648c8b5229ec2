/** Small signs. Each has a shape and a word of its own: colour is never the only sign. */
import { html } from "../html.js";
import { words } from "../state.js";

/** What a kind, or a channel's state, looks like in 10 by 10. */
const SIGNS = {
  measured: html`<circle cx="5" cy="5" r="3.2" fill="currentColor" />`,
  planned: html`<circle cx="5" cy="5" r="3" fill="none" stroke="currentColor" stroke-width="1.4" stroke-dasharray="2 1.5" />`,
  estimated: html`<path d="M1.2 6.2c1.3-2.4 2.5-2.4 3.8-1.2s2.5 1.2 3.8-1.2" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" />`,
  stale: html`<circle cx="5" cy="5" r="3.6" fill="none" stroke="currentColor" stroke-width="1.3" /><path d="M5 3v2.2l1.4 1" fill="none" stroke="currentColor" stroke-width="1.3" stroke-linecap="round" />`,
  failed: html`<path d="M2.2 2.2l5.6 5.6M7.8 2.2l-5.6 5.6" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" />`,
  unknown: html`<path d="M2 5h6" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" />`,
};

/** @param {{ of: keyof typeof SIGNS }} props */
const Sign = ({ of }) => html`<svg viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">${SIGNS[of] ?? SIGNS.unknown}</svg>`;

/** @param {{ kind: import("../shapes.js").Kind }} props */
export const KindBadge = ({ kind }) => html`
  <span class="badge kind-${kind}"><${Sign} of=${kind} />${words.value.kind[kind] ?? words.value.kind.unknown}</span>
`;

/** @param {{ state: import("../shapes.js").ChannelState }} props */
export const StateBadge = ({ state }) => html`
  <span class="badge kind-${state}"><${Sign} of=${state} />${words.value.channels.states[state] ?? words.value.channels.states.unknown}</span>
`;

/** @param {{ status: string }} props */
export const Status = ({ status }) => html`
  <span class="status status-${status.toLowerCase()}">${words.value.status[status] ?? status}</span>
`;

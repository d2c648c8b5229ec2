/** Badges for the kind of a figure and for states. Each has its own icon and text, so that none depends on colour alone. */
import { phaseOf } from "../event-phase.js";
import { html } from "../html.js";
import { now, texts } from "../state.js";

/** Icons of the kinds of figures and of the channel states, in a view box of 10 by 10. */
const ICONS = {
  measured: () => html`<circle cx="5" cy="5" r="3.2" fill="currentColor" />`,
  planned: () => html`<circle cx="5" cy="5" r="3" fill="none" stroke="currentColor" stroke-width="1.4" stroke-dasharray="2 1.5" />`,
  estimated: () => html`<path d="M1.2 6.2c1.3-2.4 2.5-2.4 3.8-1.2s2.5 1.2 3.8-1.2" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" />`,
  stale: () => html`<circle cx="5" cy="5" r="3.6" fill="none" stroke="currentColor" stroke-width="1.3" /><path d="M5 3v2.2l1.4 1" fill="none" stroke="currentColor" stroke-width="1.3" stroke-linecap="round" />`,
  failed: () => html`<path d="M2.2 2.2l5.6 5.6M7.8 2.2l-5.6 5.6" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" />`,
  unknown: () => html`<path d="M2 5h6" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" />`,
};

/** @param {{ name: keyof typeof ICONS }} props */
const Icon = ({ name }) => html`<svg viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">${(ICONS[name] ?? ICONS.unknown)()}</svg>`;

/** @param {{ kind: import("../api-types.js").FigureKind }} props */
export const KindBadge = ({ kind }) => html`
  <span class="badge kind-${kind}"><${Icon} name=${kind} /><span class="badge-text">${texts.value.kind[kind] ?? texts.value.kind.unknown}</span></span>
`;

/** @param {{ state: import("../api-types.js").ChannelState }} props */
export const StateBadge = ({ state }) => html`
  <span class="badge kind-${state}"><${Icon} name=${state} />${texts.value.channels.states[state] ?? texts.value.channels.states.unknown}</span>
`;

/** @param {{ event: import("../event-phase.js").EventDates }} props */
export function EventStatus({ event }) {
  const phase = phaseOf(event, now.value);
  return html`<span class="status status-${phase}">${texts.value.phase[phase]}</span>`;
}

/** How much something of the running system matters: an icon with a word, so that none depends on colour alone. */
import { html } from "../html.js";

/** In a view box of 10 by 10. */
const ICONS = {
  critical: () => html`<path d="M2.2 2.2l5.6 5.6M7.8 2.2l-5.6 5.6" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" />`,
  warning: () => html`<path d="M5 1.6v4" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" /><circle cx="5" cy="8.2" r="1.1" fill="currentColor" />`,
  notice: () => html`<circle cx="5" cy="1.9" r="1.1" fill="currentColor" /><path d="M5 4.4v4" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" />`,
  ok: () => html`<path d="M1.8 5.4l2.2 2.2 4.2-5" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" />`,
};

/** @typedef {keyof typeof ICONS} SeverityName */

/** @param {{ severity: SeverityName, label: string }} props */
export const Severity = ({ severity, label }) => html`
  <span class="severity severity-${severity}"><svg viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">${ICONS[severity]()}</svg>${label}</span>
`;

/** What a figure means: a small button beside its name that opens its definition. */
import { useId } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { dateAndTime } from "../format.js";
import { words } from "../state.js";
import { KindBadge } from "./badge.js";
import { Sheet } from "./sheet.js";

/**
 * @param {object} props
 * @param {string} props.name
 * @param {string} props.definition
 * @param {import("../shapes.js").Kind | null} [props.kind]
 * @param {string | null} [props.asOf]
 * @param {string} [props.full] the exact figure, where the tile shows a short one
 */
export function Info({ name, definition, kind, asOf, full }) {
  const id = useId();
  const w = words.value;
  return html`
    <button type="button" class="info" popovertarget=${id} aria-label=${w.about.open(name)}>
      <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
        <circle cx="8" cy="8" r="6.5" fill="none" stroke="currentColor" stroke-width="1.25" />
        <path d="M8 7.25v3.75" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" />
        <circle cx="8" cy="4.9" r=".9" fill="currentColor" />
      </svg>
    </button>
    <${Sheet} id=${id} name=${name}>
      <p>${definition}</p>
      ${full && html`<p class="sheet-full">${full}</p>`}
      ${kind &&
      html`<p class="sheet-kind">
        <${KindBadge} kind=${kind} /> ${w.kindMeans[kind]} ${asOf && html`<br /><span>${w.asOf(dateAndTime(asOf))}</span>`}
      </p>`}
    <//>
  `;
}

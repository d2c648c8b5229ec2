/** A button next to a figure's name that opens the definition of the figure. */
import { useId } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { formatDateTime } from "../format.js";
import { texts } from "../state.js";
import { KindBadge } from "./badge.js";
import { Sheet } from "./sheet.js";

/**
 * @param {object} props
 * @param {string} props.name
 * @param {string} props.definition
 * @param {import("../api-types.js").FigureKind | null} [props.kind]
 * @param {string | null} [props.asOf]
 * @param {string} [props.full] the exact figure, where the tile shows a short one
 */
export function Info({ name, definition, kind, asOf, full }) {
  const id = useId();
  const t = texts.value;
  return html`
    <button type="button" class="info" popovertarget=${id} aria-label=${t.definitions.open(name)}>
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
        <${KindBadge} kind=${kind} /> ${t.kindMeaning[kind]} ${asOf && html`<br /><span>${t.asOf(formatDateTime(asOf))}</span>`}
      </p>`}
    <//>
  `;
}

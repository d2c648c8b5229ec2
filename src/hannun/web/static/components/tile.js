/** A tile for one figure: name, definition, value (or the reason why it is missing) and kind of figure. */
import { html } from "../html.js";
import { texts } from "../state.js";
import { KindBadge } from "./badge.js";
import { Info } from "./info.js";

/**
 * The provenance of a figure: its own entry in the answer, else that of the nearest object around it. Null for a missing
 * figure.
 * @param {import("../api-types.js").Figure} figure
 * @param {import("../api-types.js").Provenance | undefined} provenance
 * @param {string} path like "roi.investment.total"
 */
export function provenanceOf(figure, provenance, path) {
  if (figure === null || figure === undefined) return null;
  for (let part = path; part; part = part.slice(0, Math.max(0, part.lastIndexOf(".")))) {
    const found = provenance?.[part];
    if (found) return found;
  }
  return null;
}

/**
 * The figure, or null if its provenance is "unknown". An empty sum is 0, and an unmeasured figure must not show as 0.
 * @param {import("../api-types.js").Figure} figure
 * @param {import("../api-types.js").Provenance | undefined} provenance
 * @param {string} path
 */
export const measuredOrNull = (figure, provenance, path) => (provenanceOf(figure, provenance, path)?.kind === "unknown" ? null : figure);

/**
 * @param {object} props
 * @param {string} props.name
 * @param {string} props.definition
 * @param {{ kind: import("../api-types.js").FigureKind, asOf?: string | null } | null} [props.provenance]
 * @param {string} [props.class]
 * @param {string} [props.full]
 * @param {boolean} [props.badgeInHead] show the kind next to the name and not at the bottom
 * @param {any} props.children
 */
export const Tile = ({ name, definition, provenance, class: extraClass = "", full, badgeInHead = false, children }) => html`
  <section class="card tile ${extraClass}" aria-label=${name}>
    <div class="tile-head">
      <h2 class="tile-name">${name}</h2>
      ${provenance && badgeInHead && html`<${KindBadge} kind=${provenance.kind} />`}
      <${Info} name=${name} definition=${definition} kind=${provenance?.kind} asOf=${provenance?.asOf} full=${full} />
    </div>
    ${children} ${provenance && !badgeInHead && html`<div class="tile-foot"><${KindBadge} kind=${provenance.kind} /></div>`}
  </section>
`;

/**
 * The value (`children`) of a figure, or "–" with the reason if the figure is missing. Missing never shows as 0.
 * @param {{ figure: import("../api-types.js").Figure, missingReason: string, note?: any, children: any }} props
 */
export const Value = ({ figure, missingReason, note, children }) =>
  figure === null || figure === undefined
    ? html`<p class="value missing"><span aria-hidden="true">${texts.value.none}</span></p>
        <p class="note">${missingReason}</p>`
    : html`<p class="value">${children}</p>
        ${note && html`<p class="note">${note}</p>`}`;

/** One figure: its name, its meaning, its value or why there is none, and what kind of figure it is. */
import { html } from "../html.js";
import { words } from "../state.js";
import { KindBadge } from "./badge.js";
import { Info } from "./info.js";

/**
 * What the answer says about where a figure comes from: about itself, else about what it is part of. A missing figure
 * comes from nowhere.
 * @param {import("../shapes.js").Figure} figure
 * @param {import("../shapes.js").Provenance | undefined} provenance
 * @param {string} path like "roi.investment.total"
 */
export function originOf(figure, provenance, path) {
  if (figure === null || figure === undefined) return null;
  for (let part = path; part; part = part.slice(0, Math.max(0, part.lastIndexOf(".")))) {
    const origin = provenance?.[part];
    if (origin) return origin;
  }
  return null;
}

/**
 * The figure, unless the answer says that nobody has measured it: a sum over nothing is 0, and missing is never 0.
 * @param {import("../shapes.js").Figure} figure
 * @param {import("../shapes.js").Provenance | undefined} provenance
 * @param {string} path
 */
export const measured = (figure, provenance, path) => (originOf(figure, provenance, path)?.kind === "unknown" ? null : figure);

/**
 * @param {object} props
 * @param {string} props.name
 * @param {string} props.definition
 * @param {{ kind: import("../shapes.js").Kind, asOf?: string | null } | null} [props.origin]
 * @param {string} [props.class]
 * @param {string} [props.full]
 * @param {boolean} [props.roomy] the kind has its place beside the name
 * @param {any} props.children
 */
export const Tile = ({ name, definition, origin, class: more = "", full, roomy = false, children }) => html`
  <section class="card tile ${more}" aria-label=${name}>
    <div class="tile-head">
      <h2 class="tile-name">${name}</h2>
      ${origin && roomy && html`<${KindBadge} kind=${origin.kind} />`}
      <${Info} name=${name} definition=${definition} kind=${origin?.kind} asOf=${origin?.asOf} full=${full} />
    </div>
    ${children} ${origin && !roomy && html`<div class="tile-foot"><${KindBadge} kind=${origin.kind} /></div>`}
  </section>
`;

/**
 * A value, or "–" with the reason. Missing is never 0.
 * @param {{ of: import("../shapes.js").Figure, why: string, note?: any, children: any }} props
 */
export const Value = ({ of, why, note, children }) =>
  of === null || of === undefined
    ? html`<p class="value missing"><span aria-hidden="true">${words.value.none}</span></p>
        <p class="note">${why}</p>`
    : html`<p class="value">${children}</p>
        ${note && html`<p class="note">${note}</p>`}`;

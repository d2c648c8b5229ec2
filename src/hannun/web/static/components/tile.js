/** A tile for one figure: name, a button that explains it, value (or the reason why it is missing) and kind of figure. */
import { html } from "../html.js";
import { texts } from "../state.js";
import { KindBadge } from "./badge.js";
import { Explained } from "./figure-sheet.js";

/**
 * @param {object} props
 * @param {string} props.name
 * @param {string} [props.path] of the figure, for its sheet; a tile of several figures has none
 * @param {import("../figures.js").Answer} [props.dashboard] the answer with the figure
 * @param {string} [props.explanation] what else its sheet says
 * @param {{ kind: import("../api-types.js").FigureKind, asOf?: string | null } | null} [props.provenance]
 * @param {string} [props.class]
 * @param {boolean} [props.badgeInHead] show the kind next to the name and not at the bottom
 * @param {any} props.children
 */
export const Tile = ({ name, path, dashboard, explanation, provenance, class: extraClass = "", badgeInHead = false, children }) => html`
  <section class="card tile ${extraClass}" aria-label=${name}>
    <div class="tile-head">
      <h2 class="tile-name">${name}</h2>
      ${provenance && badgeInHead && html`<${KindBadge} kind=${provenance.kind} />`}
      ${path && dashboard && html`<${Explained} path=${path} dashboard=${dashboard} name=${name} note=${explanation} />`}
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

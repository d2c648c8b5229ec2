/**
 * What a figure means: a small button beside its name that opens its definition, on a phone as a sheet within reach of
 * the thumb. The browser's own popover does the closing (Escape, a tap elsewhere) and tells assistive technology.
 */
import { useId, useRef } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { dateAndTime } from "../format.js";
import { words } from "../state.js";
import { KindBadge } from "./badge.js";

const MARGIN_PX = 12;
const wide = matchMedia("(min-width: 700px)");

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
  const button = useRef(/** @type {HTMLElement | null} */ (null));
  const panel = useRef(/** @type {HTMLElement | null} */ (null));
  const w = words.value;

  const place = (/** @type {ToggleEvent} */ event) => {
    if (event.newState !== "open" || !panel.current || !button.current) return;
    const style = panel.current.style;
    style.left = style.top = "";
    if (!wide.matches) return;
    const anchor = button.current.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = panel.current;
    const left = Math.min(anchor.left - MARGIN_PX, document.documentElement.clientWidth - width - MARGIN_PX);
    const below = anchor.bottom + 4;
    const top = below + height + MARGIN_PX > innerHeight ? anchor.top - height - 4 : below;
    style.left = `${Math.max(MARGIN_PX, left)}px`;
    style.top = `${Math.max(MARGIN_PX, top)}px`;
  };

  return html`
    <button type="button" class="info" ref=${button} popovertarget=${id} aria-label=${w.about.open(name)}>
      <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
        <circle cx="8" cy="8" r="6.5" fill="none" stroke="currentColor" stroke-width="1.25" />
        <path d="M8 7.25v3.75" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" />
        <circle cx="8" cy="4.9" r=".9" fill="currentColor" />
      </svg>
    </button>
    <div id=${id} popover="auto" class="sheet" role="dialog" aria-label=${name} ref=${panel} onToggle=${place}>
      <h3>${name}</h3>
      <p>${definition}</p>
      ${full && html`<p class="sheet-full">${full}</p>`}
      ${kind &&
      html`<p class="sheet-kind">
        <${KindBadge} kind=${kind} /> ${w.kindMeans[kind]} ${asOf && html`<br /><span>${w.asOf(dateAndTime(asOf))}</span>`}
      </p>`}
      <button type="button" class="button quiet" popovertarget=${id} popovertargetaction="hide">${w.about.close}</button>
    </div>
  `;
}

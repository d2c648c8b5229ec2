/**
 * A panel that a button opens: a bottom sheet on a phone, else a popover next to its button. The native popover handles
 * closing (Escape, a click outside) and assistive technology.
 */
import { html } from "../html.js";
import { useRef } from "../vendor/preact-hooks.js";
import { texts } from "../state.js";

const MARGIN_PX = 12;
const wide = matchMedia("(min-width: 700px)");

/**
 * @param {object} props
 * @param {string} props.id the `popovertarget` of the button
 * @param {string} props.name
 * @param {"h2" | "h3"} [props.heading] one level below the heading of the section with the button
 * @param {import("../vendor/preact.js").ComponentChildren} [props.children]
 */
export function Sheet({ id, name, heading = "h3", children }) {
  const panel = useRef(/** @type {HTMLElement | null} */ (null));

  const positionPanel = (/** @type {ToggleEvent} */ event) => {
    const button = document.querySelector(`[popovertarget="${CSS.escape(id)}"]`);
    if (event.newState !== "open" || !panel.current || !button) return;
    const style = panel.current.style;
    style.left = style.top = "";
    if (!wide.matches) return;
    const anchor = button.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = panel.current;
    const left = Math.min(anchor.left - MARGIN_PX, document.documentElement.clientWidth - width - MARGIN_PX);
    const below = anchor.bottom + 4;
    const top = below + height + MARGIN_PX > innerHeight ? anchor.top - height - 4 : below;
    style.left = `${Math.max(MARGIN_PX, left)}px`;
    style.top = `${Math.max(MARGIN_PX, top)}px`;
  };

  return html`
    <div id=${id} popover="auto" class="sheet" role="dialog" aria-label=${name} ref=${panel} onToggle=${positionPanel}>
      <${heading} class="sheet-name">${name}<//>
      ${children}
      <button type="button" class="button quiet" popovertarget=${id} popovertargetaction="hide">${texts.value.definitions.close}</button>
    </div>
  `;
}

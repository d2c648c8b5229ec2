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
 * @param {Element | null} [props.button] the button, if it has no `popovertarget`
 * @param {(isOpen: boolean) => void} [props.onToggle]
 * @param {import("../vendor/preact.js").ComponentChildren} [props.children]
 */
export function Sheet({ id, name, heading = "h3", button = null, onToggle, children }) {
  const panel = useRef(/** @type {HTMLElement | null} */ (null));
  const sizes = useRef(/** @type {ResizeObserver | null} */ (null));

  const handleToggle = (/** @type {ToggleEvent} */ event) => {
    const isOpen = event.newState === "open";
    const anchor = button ?? document.querySelector(`[popovertarget="${CSS.escape(id)}"]`);
    const shown = panel.current;
    sizes.current?.disconnect();
    if (isOpen && shown && anchor) {
      placePanel(shown, anchor);
      sizes.current = new ResizeObserver(() => placePanel(shown, anchor)); // what it shows may arrive later
      sizes.current.observe(shown);
    }
    onToggle?.(isOpen);
  };

  return html`
    <div id=${id} popover="auto" class="sheet" role="dialog" aria-label=${name} ref=${panel} onToggle=${handleToggle}>
      <${heading} class="sheet-name">${name}<//>
      ${children}
      <button type="button" class="button quiet" popovertarget=${id} popovertargetaction="hide">${texts.value.definitions.close}</button>
    </div>
  `;
}

/** Place a panel next to its button on a wide screen; on a phone CSS places it. @param {HTMLElement} panel @param {Element} button */
function placePanel(panel, button) {
  const { style } = panel;
  style.left = style.top = "";
  if (!wide.matches) return;
  const anchor = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = panel;
  const { clientWidth } = document.documentElement;
  const isOnTheRight = anchor.left + anchor.right > clientWidth;
  const left = isOnTheRight ? anchor.right - width : Math.min(anchor.left - MARGIN_PX, clientWidth - width - MARGIN_PX);
  const below = anchor.bottom + 4;
  const top = below + height + MARGIN_PX > innerHeight ? anchor.top - height - 4 : below;
  style.left = `${Math.max(MARGIN_PX, left)}px`;
  style.top = `${Math.max(MARGIN_PX, top)}px`;
}

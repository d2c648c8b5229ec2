/** An ARIA live region: screen readers announce its text when it changes, at most every 20 s. */
import { useEffect, useRef } from "../vendor/preact-hooks.js";
import { html } from "../html.js";

const ANNOUNCEMENT_GAP_MS = 20_000;

/** @param {{ text: string }} props */
export function LiveRegion({ text }) {
  const element = useRef(/** @type {HTMLElement | null} */ (null));
  const announcedMs = useRef(-Infinity);
  useEffect(() => {
    const announce = () => {
      if (element.current) element.current.textContent = text;
      announcedMs.current = performance.now();
    };
    const timer = setTimeout(announce, Math.max(0, announcedMs.current + ANNOUNCEMENT_GAP_MS - performance.now()));
    return () => clearTimeout(timer);
  }, [text]);
  return html`<p class="sr-only" aria-live="polite" ref=${element}></p>`;
}

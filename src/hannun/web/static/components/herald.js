/** Tells a screen reader what has changed, politely and not more often than one can listen. */
import { useEffect, useRef } from "../vendor/preact-hooks.js";
import { html } from "../html.js";

const GAP_MS = 20_000;

/** @param {{ text: string }} props */
export function Herald({ text }) {
  const element = useRef(/** @type {HTMLElement | null} */ (null));
  const saidMs = useRef(-Infinity);
  useEffect(() => {
    const say = () => {
      if (element.current) element.current.textContent = text;
      saidMs.current = performance.now();
    };
    const timer = setTimeout(say, Math.max(0, saidMs.current + GAP_MS - performance.now()));
    return () => clearTimeout(timer);
  }, [text]);
  return html`<p class="sr-only" aria-live="polite" ref=${element}></p>`;
}

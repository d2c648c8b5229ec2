/** Numbers on the page: they glide to their new value, and are spoken and copied in full. */
import { useLayoutEffect, useRef } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { money, moneyShort } from "../format.js";

const GLIDE_MS = 500;
// A few more are shown at once: gliding there would only make two places of the page differ for a moment.
const GLIDES_FROM = 10;
const still = matchMedia("(prefers-reduced-motion: reduce)");

/** @param {number} part */
const easeOut = (part) => 1 - (1 - part) ** 3;

/**
 * A number that glides from what it was to what it is.
 * @param {{ value: number, format: (value: number) => string }} props
 */
export function Num({ value, format }) {
  const element = useRef(/** @type {HTMLElement | null} */ (null));
  const shown = useRef(value);
  // The text is written here and not drawn by Preact, since it changes each frame while gliding.
  useLayoutEffect(() => {
    const from = shown.current;
    const write = (/** @type {number} */ figure) => {
      shown.current = figure;
      const text = format(figure);
      if (element.current && element.current.textContent !== text) element.current.textContent = text;
    };
    if (Math.abs(value - from) < GLIDES_FROM || still.matches || document.hidden) {
      write(value);
      return;
    }
    const whole = Number.isInteger(value);
    const startMs = performance.now();
    let frame = requestAnimationFrame(function step(nowMs) {
      const part = Math.min(1, Math.max(0, nowMs - startMs) / GLIDE_MS);
      const figure = from + (value - from) * easeOut(part);
      write(part === 1 ? value : whole ? Math.round(figure) : figure);
      if (part < 1) frame = requestAnimationFrame(step);
    });
    return () => cancelAnimationFrame(frame);
  });
  return html`<span class="num" ref=${element}></span>`;
}

/**
 * Money: short on a phone, in full on a wide screen; a screen reader always hears it in full.
 * @param {{ value: number }} props
 */
export const Money = ({ value }) => html`
  <span class="money" title=${money(value)}>
    <span class="money-short" aria-hidden="true"><${Num} value=${value} format=${moneyShort} /></span>
    <span class="money-full"><${Num} value=${value} format=${money} /></span>
  </span>
`;

/** Numbers that are animated when they change. Screen readers and the clipboard get the full value. */
import { useLayoutEffect, useRef } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { formatMoney, formatMoneyShort } from "../format.js";

const ANIMATION_MS = 500;
/** Smaller changes are shown at once: an animation would only make two places of the page differ for a moment. */
const ANIMATED_CHANGE_MIN = 10;
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

/** @param {number} progress from 0 to 1 */
const easeOut = (progress) => 1 - (1 - progress) ** 3;

/**
 * A number that is animated from its previous value to its new one.
 * @param {{ value: number, format: (value: number) => string }} props
 */
export function AnimatedNumber({ value, format }) {
  const element = useRef(/** @type {HTMLElement | null} */ (null));
  const shown = useRef(value);
  // Written to the DOM directly and not rendered by Preact, because it changes with each frame of the animation.
  useLayoutEffect(() => {
    const from = shown.current;
    const write = (/** @type {number} */ figure) => {
      shown.current = figure;
      const text = format(figure);
      if (element.current && element.current.textContent !== text) element.current.textContent = text;
    };
    if (Math.abs(value - from) < ANIMATED_CHANGE_MIN || reducedMotion.matches || document.hidden) {
      write(value);
      return;
    }
    const isInteger = Number.isInteger(value);
    const startMs = performance.now();
    let frame = requestAnimationFrame(function step(nowMs) {
      const progress = Math.min(1, Math.max(0, nowMs - startMs) / ANIMATION_MS);
      const figure = from + (value - from) * easeOut(progress);
      write(progress === 1 ? value : isInteger ? Math.round(figure) : figure);
      if (progress < 1) frame = requestAnimationFrame(step);
    });
    return () => cancelAnimationFrame(frame);
  });
  return html`<span class="num" ref=${element}></span>`;
}

/**
 * Money: short on a phone, in full on a wide screen. Screen readers always get the full amount.
 * @param {{ value: number }} props
 */
export const Money = ({ value }) => html`
  <span class="money" title=${formatMoney(value)}>
    <span class="money-short" aria-hidden="true"><${AnimatedNumber} value=${value} format=${formatMoneyShort} /></span>
    <span class="money-full"><${AnimatedNumber} value=${value} format=${formatMoney} /></span>
  </span>
`;

/** The unit of a number in smaller type; nothing if the language has none. @param {{ unit: (n: string) => string }} props */
export const Unit = ({ unit }) => (unit("") ? html`<span class="unit">${unit("")}</span>` : null);

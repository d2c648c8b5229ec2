/**
 * A list of cards of which only those near the visible part are in the document, so that thousands scroll smoothly.
 *
 *     ┌ list: as high as all cards ┐     Each card has a fixed height and stands at its own place. A card that has the focus
 *     │        (nothing)           │     stays in the document wherever the page is scrolled to. Each card says which of how
 *     │  ▒▒ a few rows above ▒▒    │     many it is. To print, all cards are in the document, in columns.
 *     │  ██ visible rows ██████    │
 *     │  ▒▒ a few rows below ▒▒    │
 *     └────────────────────────────┘
 */
import { signal } from "../vendor/signals.js";
import { useLayoutEffect, useMemo, useRef } from "../vendor/preact-hooks.js";
import { html } from "../html.js";

/** Rows above and below the visible ones: more than a screen reader or a fast scroll passes in one frame. */
const ROWS_AROUND = 2;

/** @typedef {{ columns: number, firstRow: number, lastRow: number }} VisibleRows */

/**
 * @template T
 * @param {object} props
 * @param {T[]} props.items
 * @param {(item: T) => string} props.keyOf
 * @param {(item: T) => any} props.renderItem
 * @param {string} props.label
 */
export function WindowedList({ items, keyOf, renderItem, label }) {
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  const visible = useMemo(() => signal(/** @type {VisibleRows} */ ({ columns: 1, firstRow: 0, lastRow: 2 })), []);
  const focusedKey = useMemo(() => signal(/** @type {string | null} */ (null)), []);
  const printing = useMemo(() => signal(false), []);

  useLayoutEffect(() => {
    const element = /** @type {HTMLElement} */ (list.current);
    let sizes = sizesOf(element);
    const measure = () => {
      const found = visibleRows(element, sizes);
      const { columns, firstRow, lastRow } = visible.peek();
      if (found.columns !== columns || found.firstRow !== firstRow || found.lastRow !== lastRow) visible.value = found;
    };
    const resized = () => {
      sizes = sizesOf(element);
      measure();
    };
    const beforePrint = () => (printing.value = true);
    const afterPrint = () => (printing.value = false);
    const resizes = new ResizeObserver(resized);
    resizes.observe(element);
    addEventListener("scroll", measure, { passive: true });
    addEventListener("resize", resized);
    addEventListener("beforeprint", beforePrint);
    addEventListener("afterprint", afterPrint);
    measure();
    return () => {
      resizes.disconnect();
      removeEventListener("scroll", measure);
      removeEventListener("resize", resized);
      removeEventListener("beforeprint", beforePrint);
      removeEventListener("afterprint", afterPrint);
    };
  }, []);

  const onFocusIn = (/** @type {FocusEvent} */ event) => (focusedKey.value = keyOfElement(event.target));
  // While the focus moves from card to card, both stay in the document. It leaves the page with another window.
  const onFocusOut = (/** @type {FocusEvent} */ event) => {
    if (event.relatedTarget) focusedKey.value = keyOfElement(event.relatedTarget);
  };
  const { columns, firstRow, lastRow } = visible.value;
  const rows = Math.ceil(items.length / columns);
  const first = printing.value ? 0 : firstRow * columns;
  const last = printing.value ? items.length : (lastRow + 1) * columns;
  const focused = focusedKey.value === null ? -1 : items.findIndex((item) => keyOf(item) === focusedKey.value);
  const shown = indices(first, Math.min(last, items.length), focused, items.length);

  return html`
    <ul
      class="windowed ${printing.value ? "printing" : ""}"
      ref=${list}
      aria-label=${label}
      style=${{ "--rows": rows, "--columns": columns }}
      onFocusIn=${onFocusIn}
      onFocusOut=${onFocusOut}
    >
      ${shown.map((index) => {
        const item = /** @type {T} */ (items[index]);
        return html`
          <li
            key=${keyOf(item)}
            data-key=${keyOf(item)}
            aria-setsize=${items.length}
            aria-posinset=${index + 1}
            style=${{ "--row": Math.floor(index / columns), "--column": index % columns }}
          >
            ${renderItem(item)}
          </li>
        `;
      })}
    </ul>
  `;
}

/** The places of the cards in the document: the window, and the focused card with its neighbours. @param {number} first @param {number} last @param {number} focused @param {number} count */
function indices(first, last, focused, count) {
  const found = new Set(Array.from({ length: Math.max(0, last - first) }, (_, offset) => first + offset));
  if (focused >= 0) for (const index of [focused - 1, focused, focused + 1]) if (index >= 0 && index < count) found.add(index);
  return [...found].sort((a, b) => a - b);
}

/** @param {EventTarget | null} target */
const keyOfElement = (target) => (target instanceof Element ? (target.closest("li[data-key]")?.getAttribute("data-key") ?? null) : null);

/** The sizes of a list by its style sheet, in px. @typedef {{ columns: number, rowHeight: number }} Sizes */

/** Read when the list is resized, and not while it is scrolled: reading a style takes longer than to place all cards. @param {HTMLElement} list @returns {Sizes} */
function sizesOf(list) {
  const style = getComputedStyle(list);
  const size = (/** @type {string} */ name) => parseFloat(style.getPropertyValue(name));
  const gap = size("--gap");
  return {
    columns: Math.max(1, Math.floor((list.clientWidth + gap) / (size("--card-width-min") + gap))),
    rowHeight: size("--card-height") + gap,
  };
}

/** The rows within the visible part of the page, and some around them. @param {HTMLElement} list @param {Sizes} sizes @returns {VisibleRows} */
function visibleRows(list, { columns, rowHeight }) {
  const { top } = list.getBoundingClientRect();
  const firstRow = Math.floor(-top / rowHeight) - ROWS_AROUND;
  const lastRow = Math.floor((innerHeight - top) / rowHeight) + ROWS_AROUND;
  return { columns, firstRow: Math.max(0, firstRow), lastRow: Math.max(ROWS_AROUND, lastRow) };
}

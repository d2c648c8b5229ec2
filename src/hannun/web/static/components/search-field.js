/** The search field above a list. `/` moves the focus to it, Escape empties it. */
import { useRef } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { useShortcut } from "../keyboard.js";

/** @param {{ label: string, text: string, onText: (text: string) => void, lengthMax?: number }} props */
export function SearchField({ label, text, onText, lengthMax }) {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  useShortcut("/", () => field.current?.focus(), "search");
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape" && text) onText("");
  };
  return html`
    <div class="list-search">
      <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><circle cx="7" cy="7" r="4.5" fill="none" stroke="currentColor" stroke-width="1.5" /><path d="M10.5 10.5 14 14" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" /></svg>
      <input
        ref=${field}
        type="search"
        aria-label=${label}
        placeholder=${label}
        value=${text}
        maxlength=${lengthMax}
        autocomplete="off"
        spellcheck=${false}
        enterkeyhint="search"
        aria-keyshortcuts="/"
        onInput=${(/** @type {InputEvent} */ event) => onText(/** @type {HTMLInputElement} */ (event.currentTarget).value)}
        onKeyDown=${onKeyDown}
      />
    </div>
  `;
}

/**
 * Keyboard shortcuts: views register them, `?` lists those that are registered.
 *
 * A shortcut is one key without a modifier. It does nothing while the user types in a field or has a panel open. It can
 * be turned off, because a person who speaks to the computer may press keys without wanting to (WCAG 2.1.4).
 */
import { computed, signal } from "./vendor/signals.js";
import { useEffect, useRef } from "./vendor/preact-hooks.js";

/** @typedef {keyof import("./translations.js").Texts["shortcuts"]["actions"]} ShortcutName */
/** @typedef {{ key: string, name: ShortcutName, run: () => void }} Shortcut */

const TURNED_OFF_KEY = "hannun.shortcuts-off";

const registered = signal(/** @type {Shortcut[]} */ ([]));

/** The shortcuts of the shown views, in the order in which they were registered. */
export const shortcuts = computed(() => registered.value);

/** Whether shortcuts work. `?` is one of them; the list can be opened by its button, too. */
export const shortcutsOn = signal(readTurnedOff() === null);

function readTurnedOff() {
  try {
    return localStorage.getItem(TURNED_OFF_KEY);
  } catch {
    return null;
  }
}

/** @param {boolean} on */
export function turnShortcuts(on) {
  shortcutsOn.value = on;
  try {
    if (on) localStorage.removeItem(TURNED_OFF_KEY);
    else localStorage.setItem(TURNED_OFF_KEY, "1");
  } catch {
    // The browser forbids it: the setting holds until the page is closed.
  }
}

/**
 * Register a shortcut while the component is mounted.
 * @param {string} key as KeyboardEvent.key names it; a letter in upper case
 * @param {() => void} action the function of the latest rendering is the one that is called
 * @param {ShortcutName} name of its text in `texts/shell.js`
 */
export function useShortcut(key, action, name) {
  const latest = useRef(action);
  latest.current = action;
  useEffect(() => {
    const shortcut = { key, name, run: () => latest.current() };
    registered.value = [...registered.peek(), shortcut];
    return () => (registered.value = registered.peek().filter((each) => each !== shortcut));
  }, [key, name]);
}

document.addEventListener("keydown", (event) => {
  if (!shortcutsOn.peek() || !mayBeShortcut(event)) return;
  // Of two views that register a key, the one that was mounted last has it.
  const shortcut = registered.peek().findLast(({ key }) => isKey(event, key));
  if (!shortcut) return;
  event.preventDefault();
  shortcut.run();
});

/** @param {KeyboardEvent} event */
function mayBeShortcut(event) {
  if (event.defaultPrevented || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return false;
  const target = event.target instanceof Element ? event.target : null;
  return !target?.closest("input, textarea, select, [contenteditable], [role=slider]") && !document.querySelector("dialog[open], [popover]:popover-open");
}

/** Whether the user has pressed a key, also with a Korean keyboard, on which the key of D is ㅇ. @param {KeyboardEvent} event @param {string} key */
export function isKey(event, key) {
  if (event.key.toUpperCase() === key.toUpperCase()) return true;
  return /^[A-Z]$/.test(key) && !/^[a-z]$/i.test(event.key) && event.code === `Key${key}`;
}

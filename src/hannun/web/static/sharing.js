/** Keeps what has not changed: a new value takes over the equal parts of the one before, so that they stay identical. */
import { useRef } from "./vendor/preact-hooks.js";

/**
 * The new value, with each equal part of the previous one in its place; the previous value itself if all is equal. So a
 * component whose props are such parts is not rendered again, which signals decide by identity.
 * @template T
 * @param {any} before
 * @param {T} after a value of JSON: arrays, plain objects, strings, numbers, booleans and null. Its parts are replaced
 * @returns {T}
 */
export function shareUnchanged(before, after) {
  if (before === after || !isContainer(before) || !isContainer(after) || Array.isArray(before) !== Array.isArray(after)) return after;
  /** @type {any} */
  const shared = after;
  let parts = 0;
  let same = true;
  for (const name in shared) {
    parts += 1;
    const part = (shared[name] = shareUnchanged(before[name], shared[name]));
    same &&= part === before[name] && (part !== undefined || name in before);
  }
  return same && parts === Object.keys(before).length ? before : after;
}

/** @param {any} value @returns {value is any} */
const isContainer = (value) => typeof value === "object" && value !== null;

/** A value that is made with each rendering, with what it shares with the one before. @template T @param {T} value @returns {T} */
export function useUnchanged(value) {
  const shown = useRef(value);
  return (shown.current = shareUnchanged(shown.current, value));
}

/** Keeps what has not changed: a new value takes over the equal parts of the one before, so that they stay identical. */
import { useLayoutEffect, useRef } from "./vendor/preact-hooks.js";
import { useSignal } from "./vendor/signals.js";

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
  if (Array.isArray(after)) return shareUnchangedItems(before, after);
  /** @type {any} */
  const shared = after;
  let parts = 0;
  let same = true;
  for (const name in shared) {
    parts += 1;
    const partBefore = before[name];
    if (shared[name] !== partBefore) shared[name] = shareUnchanged(partBefore, shared[name]);
    same &&= shared[name] === partBefore && (partBefore !== undefined || name in before);
  }
  return same && parts === Object.keys(before).length ? before : after;
}

/** By index: the names of 2,000 items as text take three times as long. @param {any[]} before @param {any} after @returns {any} */
function shareUnchangedItems(before, after) {
  let same = before.length === after.length;
  for (let index = 0; index < after.length; index += 1) {
    const item = shareUnchanged(before[index], after[index]);
    same &&= item === before[index];
    after[index] = item;
  }
  return same ? before : after;
}

/** @param {any} value @returns {value is any} */
const isContainer = (value) => typeof value === "object" && value !== null;

/** A value that is made with each rendering, with what it shares with the one before. @template T @param {T} value @returns {T} */
export function useUnchanged(value) {
  const shown = useRef(value);
  return (shown.current = shareUnchanged(shown.current, value));
}

/**
 * The newest value as a signal, which stays the same one: a component that only needs the value when it is pressed is not rendered
 * again for it.
 * @template T
 * @param {T} value
 */
export function useLatest(value) {
  const latest = useSignal(value);
  useLayoutEffect(() => {
    latest.value = value;
  }, [value]);
  return latest;
}

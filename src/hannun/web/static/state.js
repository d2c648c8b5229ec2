/**
 * What the whole page knows: where it is (the URL), in which words it speaks, who is signed in, what time it is.
 *
 * The URL is the only memory of a view: language, period and open table live in its query, so that an address can be
 * sent to somebody or opened again tomorrow.
 */
import { computed, effect, signal } from "./vendor/signals.js";
import { WORDS } from "./words.js";

/** @typedef {import("./words.js").Lang} Lang */

const ZONE_DEFAULT = "Asia/Seoul";
const CLOCK_TICK_MS = 5_000;

const here = () => ({ path: location.pathname, query: new URLSearchParams(location.search) });

/** Where we are. */
export const place = signal(here());

/** undefined: not asked yet; null: nobody. */
export const session = signal(/** @type {import("./shapes.js").Session | null | undefined} */ (undefined));

/** Why the one-time code in the address did not work, if it did not. */
export const codeRefused = signal(false);

/** The event that a share link has opened to us, and until when. */
export const guest = signal(/** @type {{ eventId: string, expiresAt: string } | null} */ (null));

/** Whether the share link in the address opened nothing. */
export const linkRefused = signal(false);

export const lang = computed(() => {
  const wanted = place.value.query.get("lang");
  if (wanted === "ko" || wanted === "en") return wanted;
  return !navigator.language || navigator.language.startsWith("ko") ? "ko" : /** @type {Lang} */ ("en");
});

/** The words of the language in use. */
export const words = computed(() => WORDS[lang.value]);

/** The zone in which times are shown and days begin. */
export const zone = computed(() => {
  const wanted = place.value.query.get("tz");
  try {
    if (wanted) return new Intl.DateTimeFormat("en", { timeZone: wanted }).resolvedOptions().timeZone;
  } catch {
    // An unknown name in the address: the default serves.
  }
  return ZONE_DEFAULT;
});

/** Now, as often as "12 seconds ago" has to be said anew. */
export const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, CLOCK_TICK_MS);

addEventListener("popstate", () => (place.value = here()));

effect(() => {
  document.documentElement.lang = lang.value;
});

/**
 * The address of a path, keeping what belongs to the reader rather than to the view: language and zone.
 * @param {string} path
 */
export function address(path) {
  const kept = new URLSearchParams();
  for (const name of ["lang", "tz"]) {
    const value = place.value.query.get(name);
    if (value) kept.set(name, value);
  }
  return path + (kept.size ? `?${kept}` : "");
}

/**
 * The address of this view with one part of its query changed; null takes the part away.
 * @param {string} name
 * @param {string | null} value
 */
export function addressWith(name, value) {
  const query = new URLSearchParams(place.value.query);
  if (value === null) query.delete(name);
  else query.set(name, value);
  return place.value.path + (query.size ? `?${query}` : "");
}

/** @param {string} href */
export function go(href) {
  history.pushState(null, "", href);
  place.value = here();
  scrollTo(0, 0);
}

/**
 * Change the address without a new step in the history: for what is a setting of the view and not a place.
 * @param {string} href
 */
export function settle(href) {
  history.replaceState(null, "", href);
  place.value = here();
}

/**
 * State of the whole page, as signals: the route, the language, the time zone, the theme, the session and the clock.
 *
 * The URL holds all state of a view: language, period and open table are in its query. A copied or bookmarked URL shows
 * the same view again.
 */
import { computed, effect, signal } from "./vendor/signals.js";
import { TRANSLATIONS } from "./translations.js";

/** @typedef {import("./translations.js").Lang} Lang */

export const ZONE_DEFAULT = "Asia/Seoul";
const CLOCK_TICK_MS = 5_000;

const currentRoute = () => ({ path: location.pathname, query: new URLSearchParams(location.search) });

/** Path and query of the current URL. */
export const route = signal(currentRoute());

/** The signed-in user; undefined until the service has answered, null if nobody is signed in. */
export const session = signal(/** @type {import("./api-types.js").Session | null | undefined} */ (undefined));

/** Whether a session has ended without the user signing out: it expired, or was ended elsewhere. */
export const sessionEnded = signal(false);

const SIGNED_IN_KEY = "hannun.signed-in";
const RETURN_KEY = "hannun.return-to";
const LINK_KEY = "hannun.link";

/** Access the browser's storage; null where the browser forbids it. @param {() => string | null | void} access */
function fromStorage(access) {
  try {
    return access() ?? null;
  } catch {
    return null;
  }
}

/** Show the views of a user. Remembered without a name, because a script cannot see whether the cookie has expired. @param {import("./api-types.js").Session} user */
export function beginSession(user) {
  sessionEnded.value = false;
  session.value = user;
  fromStorage(() => localStorage.setItem(SIGNED_IN_KEY, "1"));
  fromStorage(() => sessionStorage.removeItem(RETURN_KEY));
}

/** Show the sign-in form after the user has signed out. */
export function endSession() {
  fromStorage(() => localStorage.removeItem(SIGNED_IN_KEY));
  session.value = null;
}

/** Show the sign-in form because nobody is signed in; it says so if somebody was. */
export function loseSession() {
  sessionEnded.value = Boolean(session.peek()) || fromStorage(() => localStorage.getItem(SIGNED_IN_KEY)) !== null;
  if (sessionEnded.value) fromStorage(() => sessionStorage.setItem(RETURN_KEY, location.pathname + location.search));
  session.value = null;
}

/** Where the user was when the session ended, in this tab. */
export const returnAddress = () => fromStorage(() => sessionStorage.getItem(RETURN_KEY));

/** Whether the service rejected the one-time code in the URL. */
export const codeRejected = signal(false);

/** The event that this browser may read through a share link, and when that access expires. */
export const shareAccess = signal(/** @type {{ eventId: string, expiresAt: string } | null} */ (null));

/** Show the event of a share link. @param {{ eventId: string, expiresAt: string }} access */
export function beginShareAccess(access) {
  shareAccess.value = access;
  fromStorage(() => sessionStorage.setItem(LINK_KEY, access.eventId));
}

/** Whether this tab has shown the event through a share link: after the link has ended it says so. @param {string} eventId */
export const hadShareAccess = (eventId) => fromStorage(() => sessionStorage.getItem(LINK_KEY)) === eventId;

/** Whether the service rejected the share link in the URL. */
export const shareLinkRejected = signal(false);

export const lang = computed(() => {
  const requested = route.value.query.get("lang");
  if (requested === "ko" || requested === "en") return requested;
  return !navigator.language || navigator.language.startsWith("ko") ? "ko" : /** @type {Lang} */ ("en");
});

/** The texts in the current language. */
export const texts = computed(() => TRANSLATIONS[lang.value]);

/** The time zone in which times are shown and days begin: the `tz` of the URL, else Asia/Seoul. */
export const timeZone = computed(() => {
  const requested = route.value.query.get("tz");
  try {
    if (requested) return new Intl.DateTimeFormat("en", { timeZone: requested }).resolvedOptions().timeZone;
  } catch {
    // The URL names an unknown time zone: use the default.
  }
  return ZONE_DEFAULT;
});

/** @typedef {"light" | "dark"} Theme */
/** @typedef {"auto" | Theme} ThemeChoice */

/** The theme that the user has chosen. The service has written it into the document; `theme.js` changes it. */
export const themeChoice = signal(/** @type {ThemeChoice} */ (document.documentElement.dataset.theme ?? "auto"));

const darkScheme = matchMedia("(prefers-color-scheme: dark)");
const systemIsDark = signal(darkScheme.matches);
darkScheme.addEventListener("change", () => (systemIsDark.value = darkScheme.matches));

/** The shown theme. A canvas is drawn again when it changes; style sheets follow by themselves. */
export const theme = computed(() => {
  if (themeChoice.value !== "auto") return themeChoice.value;
  return systemIsDark.value ? "dark" : /** @type {Theme} */ ("light");
});

/** The current time in ms, updated every 5 s so that relative times ("12 seconds ago") are rendered again. */
export const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, CLOCK_TICK_MS);

addEventListener("popstate", () => (route.value = currentRoute()));

effect(() => {
  document.documentElement.lang = lang.value;
});

/**
 * The URL of a path with the user's language and time zone, which stay the same in all views.
 * @param {string} path
 */
export function hrefFor(path) {
  const query = new URLSearchParams();
  for (const name of ["lang", "tz"]) {
    const value = route.value.query.get(name);
    if (value) query.set(name, value);
  }
  return path + (query.size ? `?${query}` : "");
}

/**
 * The URL of the current view with query parameters changed; null removes a parameter.
 * @param {Record<string, string | null>} changes
 */
export function hrefWithAll(changes) {
  const query = new URLSearchParams(route.value.query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) query.delete(name);
    else query.set(name, value);
  }
  return route.value.path + (query.size ? `?${query}` : "");
}

/**
 * The URL of the current view with one query parameter changed; null removes the parameter.
 * @param {string} name
 * @param {string | null} value
 */
export const hrefWith = (name, value) => hrefWithAll({ [name]: value });

/** Open another view, as a new entry in the browser history. @param {string} href */
export function navigate(href) {
  history.pushState(null, "", href);
  route.value = currentRoute();
  scrollTo(0, 0);
}

/**
 * Change the URL without a new entry in the browser history: for settings of the current view.
 * @param {string} href
 */
export function replaceRoute(href) {
  history.replaceState(null, "", href);
  route.value = currentRoute();
}

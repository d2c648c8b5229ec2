/**
 * HTTP client of the service: JSON answers with an ETag cache, and errors as `Problem`.
 *
 * Answers are cached by URL and revalidated with If-None-Match. A 304 returns the same object as before, and a new answer
 * shares its unchanged parts with the one before, so that signals, which compare by identity, render only what changed.
 */
import { shareUnchanged } from "./sharing.js";
import { lang, loseSession, session } from "./state.js";

const TIMEOUT_MS = 10_000;
/** Time limit for an export, from the request to the last byte: as long as the service keeps the file. */
const FILE_TIMEOUT_MS = 900_000;
const CACHED_ANSWERS_MAX = 40;

/** An HTTP error, or a network failure (`status` 0). `code` is stable; `detail` is for people. */
export class Problem extends Error {
  /** @param {number} status @param {{ code?: string, title?: string, detail?: string }} [body] @param {number | null} [retryAfterS] */
  constructor(status, body = {}, retryAfterS = null) {
    super(body.detail || body.title || `status ${status}`);
    this.status = status;
    this.code = body.code ?? (status ? `http-${status}` : "network");
    this.detail = body.detail ?? body.title ?? "";
    this.retryAfterS = retryAfterS;
  }

  /** Whether the same request may succeed later without a change. */
  get transient() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** @type {Map<string, { etag: string | null, body: any }>} */
const cachedAnswers = new Map();

/** Answers that came with the document, each of which takes the place of the first request for it. @type {Map<string, any>} */
const firstAnswers = new Map();
for (const { url, etag, body } of JSON.parse(document.getElementById("answers")?.textContent ?? "[]")) {
  firstAnswers.set(url, body);
  if (etag) cachedAnswers.set(url, { etag, body });
}

/** Take an answer that came with the document, once; undefined where none did, or where it was taken. @param {string} url */
function takeFirstAnswer(url) {
  const body = firstAnswers.get(url);
  firstAnswers.delete(url);
  return body;
}

/** The cached JSON of this URL, if there is any: a view shows it until the first answer. @param {string} url */
export const cachedBody = (url) => cachedAnswers.get(url)?.body;

/** The ETag of the cached answer of this URL. @param {string} url @returns {string | null} */
export const cachedEtag = (url) => cachedAnswers.get(url)?.etag ?? null;

/** Drop all cached answers: the next user of this browser must not see those of the previous one. */
export function clearCache() {
  cachedAnswers.clear();
  firstAnswers.clear();
}

/**
 * GET a URL and return its JSON.
 * @param {string} url
 * @returns {Promise<any>}
 * @throws {Problem} a 401 also ends the session, which shows the sign-in view
 */
export async function getJson(url) {
  const first = takeFirstAnswer(url);
  if (first) return first;
  const cached = cachedAnswers.get(url);
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  if (cached?.etag) headers["If-None-Match"] = cached.etag;
  const response = await send(url, { headers });
  if (response.status === 304 && cached) {
    cacheAnswer(url, cached);
    return cached.body;
  }
  const answer = await response.json().catch(() => {
    throw new Problem(0);
  });
  const body = shareUnchanged(cached?.body, answer);
  cacheAnswer(url, { etag: response.headers.get("ETag"), body });
  return body;
}

/**
 * GET a URL as a file.
 * @param {string} url
 * @param {(bytes: number) => void} onProgress called with the number of bytes received so far
 * @returns {Promise<{ file: Blob, name: string }>}
 * @throws {Problem} also if the connection breaks during the download
 */
export async function download(url, onProgress) {
  const response = await send(url, {}, FILE_TIMEOUT_MS);
  /** @type {BlobPart[]} */
  const chunks = [];
  let bytes = 0;
  try {
    const reader = /** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */ (response.body).getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      chunks.push(next.value);
      onProgress((bytes += next.value.length));
    }
  } catch {
    throw new Problem(0);
  }
  const nameMatch = /filename\*=UTF-8''([^;]+)/.exec(response.headers.get("Content-Disposition") ?? "");
  const type = response.headers.get("Content-Type") ?? "";
  return { file: new Blob(chunks, { type }), name: decodeURIComponent(nameMatch?.[1] ?? "hannun") };
}

/** @param {string} url @param {{ etag: string | null, body: any }} answer */
function cacheAnswer(url, answer) {
  cachedAnswers.delete(url);
  cachedAnswers.set(url, answer);
  for (const oldest of cachedAnswers.keys()) {
    if (cachedAnswers.size <= CACHED_ANSWERS_MAX) break;
    cachedAnswers.delete(oldest);
  }
}

/** The session that came with the document, once. @returns {import("./api-types.js").Session | undefined} */
export const firstSession = () => takeFirstAnswer("/api/v1/session");

/** @returns {Promise<import("./api-types.js").Session | null>} null if nobody is signed in */
export async function fetchSession() {
  const first = firstSession();
  if (first) return first;
  try {
    return await (await send("/api/v1/session", { headers: { Accept: "application/json" } })).json();
  } catch (problem) {
    if (problem instanceof Problem && problem.status === 401) return null;
    throw problem;
  }
}

/** Exchange a token or a one-time code for a session cookie. @param {{ token: string } | { code: string }} credential */
export async function signIn(credential) {
  await send("/api/v1/session", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(credential),
  });
  clearCache();
}

/** POST JSON and return the answer's. @param {string} url @param {unknown} body @returns {Promise<any>} @throws {Problem} */
export async function postJson(url, body) {
  const response = await send(url, {
    method: "POST",
    headers: { Accept: "application/json", "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return await response.json();
}

/** @param {string} eventId */
const shareSessionUrl = (eventId) => `/api/v1/events/${encodeURIComponent(eventId)}/session`;

/** Exchange the secret of a share link for a cookie that grants access to this event. @param {string} eventId @param {string} share */
export async function redeemShareLink(eventId, share) {
  await send(shareSessionUrl(eventId), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ share }),
  });
  clearCache();
}

/** When the access by a share link expires, as it came with the document, once. @param {string} eventId @returns {string | undefined} */
export const firstShareExpiry = (eventId) => takeFirstAnswer(shareSessionUrl(eventId))?.expiresAt;

/** When this browser's access to the event by a share link expires; null without such access. @param {string} eventId @returns {Promise<string | null>} */
export async function fetchShareExpiry(eventId) {
  const response = await send(shareSessionUrl(eventId), { headers: { Accept: "application/json" } });
  return (await response.json()).expiresAt;
}

/** @param {string} eventId */
const shareLinksUrl = (eventId) => `/api/v1/events/${encodeURIComponent(eventId)}/shares`;

/** The share links of an event: the active ones first. @param {string} eventId @returns {Promise<import("./api-types.js").ShareLink[]>} */
export async function fetchShareLinks(eventId) {
  return (await (await send(shareLinksUrl(eventId), { headers: { Accept: "application/json" } })).json()).shares;
}

/**
 * Make a share link. Only this answer has its address.
 * @param {string} eventId
 * @param {{ until: string, label: string }} wanted
 * @returns {Promise<import("./api-types.js").ShareLink & { address: string }>}
 */
export async function createShareLink(eventId, wanted) {
  const response = await send(shareLinksUrl(eventId), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(wanted),
  });
  return response.json();
}

/** Close a share link for good. @param {string} eventId @param {string} shareId */
export async function revokeShareLink(eventId, shareId) {
  await send(`${shareLinksUrl(eventId)}/${encodeURIComponent(shareId)}`, { method: "DELETE" });
}

/** GET a URL as text. @param {string} url */
export async function getText(url) {
  const response = await send(url, {});
  return response.text().catch(() => {
    throw new Problem(0);
  });
}

export async function signOut() {
  await send("/api/v1/session", { method: "DELETE" });
  clearCache();
}

/** @param {string} url @param {RequestInit} init @param {number} [timeoutMs] @returns {Promise<Response>} 2xx or 304 */
async function send(url, init, timeoutMs = TIMEOUT_MS) {
  const headers = { "Accept-Language": lang.value, ...init.headers };
  let response;
  try {
    response = await fetch(url, {
      ...init,
      headers,
      // The browser's own cache would turn a 304 into a 200 with its stored body. `cachedAnswers` replaces it.
      cache: "no-store",
      credentials: "same-origin",
      signal: AbortSignal.timeout(timeoutMs),
    });
  } catch {
    throw new Problem(0);
  }
  if (response.ok || response.status === 304) return response;
  const body = await response.json().catch(() => ({}));
  const retryAfterS = Number(response.headers.get("Retry-After"));
  if (response.status === 401 && session.peek()) {
    clearCache();
    loseSession();
  }
  throw new Problem(response.status, body, retryAfterS > 0 ? retryAfterS : null);
}

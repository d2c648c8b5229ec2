/**
 * Asking the service: JSON with a remembered ETag, and its refusals as problems.
 *
 * An answer is remembered by its address and asked for again with If-None-Match. "Not modified" gives back the very object
 * of before, so that whoever compares by identity draws nothing anew.
 */
import { lang, session } from "./state.js";

const TIMEOUT_MS = 10_000;
/** How long a file may take to be made and to come: as long as the service keeps it. */
const FILE_TIMEOUT_MS = 900_000;
const REMEMBERED_MAX = 40;

/** A refusal, or no answer at all (`status` 0). `code` is stable; `detail` is for people. */
export class Problem extends Error {
  /** @param {number} status @param {{ code?: string, title?: string, detail?: string }} [said] @param {number | null} [retryAfterS] */
  constructor(status, said = {}, retryAfterS = null) {
    super(said.detail || said.title || `status ${status}`);
    this.status = status;
    this.code = said.code ?? (status ? `http-${status}` : "network");
    this.detail = said.detail ?? said.title ?? "";
    this.retryAfterS = retryAfterS;
  }

  /** Whether the same question may well be answered later. */
  get passes() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** @type {Map<string, { etag: string | null, body: any }>} */
const remembered = new Map();

/** The last answer from this address, if there was one: for something to show at once. @param {string} url */
export const recall = (url) => remembered.get(url)?.body;

/** Whoever signs in next must see nothing of whoever was here before. */
export const forgetAll = () => remembered.clear();

/**
 * GET as JSON.
 * @param {string} url
 * @returns {Promise<any>}
 * @throws {Problem} a 401 also ends the session, which shows the sign-in view
 */
export async function ask(url) {
  const known = remembered.get(url);
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  if (known?.etag) headers["If-None-Match"] = known.etag;
  const response = await send(url, { headers });
  if (response.status === 304 && known) {
    remember(url, known);
    return known.body;
  }
  const body = await response.json().catch(() => {
    throw new Problem(0);
  });
  remember(url, { etag: response.headers.get("ETag"), body });
  return body;
}

/**
 * GET as a file.
 * @param {string} url
 * @param {(bytes: number) => void} arrived told how much has come
 * @returns {Promise<{ file: Blob, name: string }>}
 * @throws {Problem} also where the file breaks off half-way
 */
export async function download(url, arrived) {
  const response = await send(url, {}, FILE_TIMEOUT_MS);
  /** @type {BlobPart[]} */
  const chunks = [];
  let bytes = 0;
  try {
    const reader = /** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */ (response.body).getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      chunks.push(next.value);
      arrived((bytes += next.value.length));
    }
  } catch {
    throw new Problem(0);
  }
  const named = /filename\*=UTF-8''([^;]+)/.exec(response.headers.get("Content-Disposition") ?? "");
  const type = response.headers.get("Content-Type") ?? "";
  return { file: new Blob(chunks, { type }), name: decodeURIComponent(named?.[1] ?? "hannun") };
}

/** @param {string} url @param {{ etag: string | null, body: any }} answer */
function remember(url, answer) {
  remembered.delete(url);
  remembered.set(url, answer);
  for (const oldest of remembered.keys()) {
    if (remembered.size <= REMEMBERED_MAX) break;
    remembered.delete(oldest);
  }
}

/** @returns {Promise<import("./shapes.js").Session | null>} null: nobody is signed in */
export async function whoAmI() {
  try {
    return await (await send("/api/v1/session", { headers: { Accept: "application/json" } })).json();
  } catch (problem) {
    if (problem instanceof Problem && problem.status === 401) return null;
    throw problem;
  }
}

/** Exchange a token or a one-time code for a cookie. @param {{ token: string } | { code: string }} proof */
export async function signIn(proof) {
  await send("/api/v1/session", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(proof),
  });
  forgetAll();
}

/** @param {string} eventId */
const shareSession = (eventId) => `/api/v1/events/${encodeURIComponent(eventId)}/session`;

/** Exchange a share link's secret for a cookie that opens this event. @param {string} eventId @param {string} share */
export async function openShare(eventId, share) {
  await send(shareSession(eventId), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ share }),
  });
  forgetAll();
}

/** Until when a share link has opened this event to this browser; null where none has. @param {string} eventId @returns {Promise<string | null>} */
export async function openUntil(eventId) {
  const response = await send(shareSession(eventId), { headers: { Accept: "application/json" } });
  return (await response.json()).expiresAt;
}

export async function signOut() {
  await send("/api/v1/session", { method: "DELETE" });
  forgetAll();
}

/** @param {string} url @param {RequestInit} init @param {number} [timeoutMs] @returns {Promise<Response>} 2xx or 304 */
async function send(url, init, timeoutMs = TIMEOUT_MS) {
  const headers = { "Accept-Language": lang.value, ...init.headers };
  let response;
  try {
    response = await fetch(url, {
      ...init,
      headers,
      // The browser's own cache would answer 304 as 200 with what it kept; we do our own remembering.
      cache: "no-store",
      credentials: "same-origin",
      signal: AbortSignal.timeout(timeoutMs),
    });
  } catch {
    throw new Problem(0);
  }
  if (response.ok || response.status === 304) return response;
  const said = await response.json().catch(() => ({}));
  const wait = Number(response.headers.get("Retry-After"));
  if (response.status === 401 && session.peek()) {
    forgetAll();
    session.value = null;
  }
  throw new Problem(response.status, said, wait > 0 ? wait : null);
}

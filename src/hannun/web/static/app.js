/** The page: finds out who is here, then shows the view that the address names. */
import { useEffect, useRef } from "./vendor/preact-hooks.js";
import { render } from "./vendor/preact.js";
import { html } from "./html.js";
import { openShare, openUntil, Problem, signIn, signOut, whoAmI } from "./api.js";
import { address, addressWith, codeRefused, go, guest, lang, linkRefused, place, session, settle, words } from "./state.js";
import { Eye, LinkMissing, PageMissing, ProblemView } from "./components/problem.js";
import { Skeleton } from "./components/skeleton.js";
import { EventView } from "./views/event.js";
import { MerchantView } from "./views/merchant.js";
import { SignInView, WhichMerchantView } from "./views/sign-in.js";
import { signal } from "./vendor/signals.js";

const RETRY_MS = 5_000;

/** Why we could not find out who is here. */
const greeting = signal(/** @type {Problem | null} */ (null));

/** @param {string} path */
function viewOf(path) {
  const [, kind, id, ...rest] = path.replace(/\/$/, "").split("/");
  if (!kind) {
    const who = /** @type {import("./shapes.js").Session} */ (session.value);
    return who.roles.includes("ADMIN") ? html`<${WhichMerchantView} />` : html`<${MerchantView} key=${who.userId} userId=${who.userId} />`;
  }
  const name = decoded(id);
  if (!name || rest.length > 0) return html`<${PageMissing} />`;
  if (kind === "events") return html`<${EventView} key=${name} eventId=${name} />`;
  if (kind === "users") return html`<${MerchantView} key=${name} userId=${name} />`;
  return html`<${PageMissing} />`;
}

/** The event that a path names, if it does. @param {string} path */
function eventIn(path) {
  const [, kind, id, ...rest] = path.replace(/\/$/, "").split("/");
  return kind === "events" && rest.length === 0 ? decoded(id) : "";
}

/** What somebody sees who is not signed in. @param {string} path */
function viewOfNobody(path) {
  const name = eventIn(path);
  if (name && guest.value?.eventId === name) return html`<${EventView} key=${name} eventId=${name} />`;
  return name && linkRefused.value ? html`<${LinkMissing} />` : html`<${SignInView} />`;
}

/** @param {string | undefined} part */
function decoded(part) {
  try {
    return decodeURIComponent(part ?? "");
  } catch {
    return "";
  }
}

function App() {
  const w = words.value;
  const who = session.value;
  const main = useRef(/** @type {HTMLElement | null} */ (null));
  const path = place.value.path;
  const arrived = useRef(path);

  // A new place is announced by moving the focus to its heading (or to where it will be); the first place needs no such help.
  useEffect(() => {
    if (arrived.current === path) return;
    arrived.current = path;
    const target = main.current?.querySelector("h1") ?? main.current;
    target?.focus({ preventScroll: true });
  }, [path]);

  return html`
    <a class="skip" href="#main" data-plain>${w.skip}</a>
    <header class="top">
      <a class="brand" href=${address("/")}><${Eye} /><span>${w.name}</span></a>
      <div class="top-actions">
        <a
          class="button quiet"
          href=${addressWith("lang", lang.value === "ko" ? "en" : "ko")}
          lang=${lang.value === "ko" ? "en" : "ko"}
          hreflang=${lang.value === "ko" ? "en" : "ko"}
          data-settle
          >${w.otherLanguage}</a
        >
        ${who && html`<button type="button" class="button quiet" onClick=${leave}>${w.signOut}</button>`}
      </div>
    </header>
    <main id="main" ref=${main} tabindex="-1">
      ${greeting.value
        ? html`<${ProblemView} problem=${greeting.value} of="user" retry=${greet} />`
        : who === undefined
          ? html`<${Skeleton} tiles=${4} />`
          : who === null
            ? viewOfNobody(path)
            : viewOf(path)}
    </main>
  `;
}

async function leave() {
  try {
    await signOut();
  } catch (error) {
    // A session that has ended by itself is as good; without the server the cookie would stay, so we stay too.
    if (!(error instanceof Problem) || error.passes) return;
  }
  session.value = null;
}

/** The one-time code of the address, until it is redeemed. @type {string | null} */
let code = null;
/** The secret of the share link in the address, until it is exchanged. @type {string | null} */
let share = null;

/** Gone from the address before anything else: a reload or a shared address must not carry it. */
function takeSecrets() {
  const found = new URLSearchParams(location.hash.slice(1));
  code = found.get("code") ?? code;
  share = found.get("share") ?? share;
  if (found.has("code") || found.has("share")) settle(location.pathname + location.search);
}

/** Whether a secret was refused, and not only now. @param {Promise<void>} exchange */
async function refused(exchange) {
  try {
    await exchange;
    return false;
  } catch (error) {
    if (!(error instanceof Problem) || error.passes) throw error;
    return true;
  }
}

/** Redeem what the address brought, then ask who is here. */
async function greet() {
  greeting.value = null;
  const eventId = eventIn(location.pathname);
  try {
    if (code) codeRefused.value = await refused(signIn({ code }));
    code = null;
    if (share && eventId) linkRefused.value = await refused(openShare(eventId, share));
    share = null;
    const who = await whoAmI();
    const expiresAt = who === null && eventId ? await openUntil(eventId) : null;
    guest.value = expiresAt ? { eventId, expiresAt } : null;
    session.value = who;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    greeting.value = error;
    setTimeout(greet, RETRY_MS);
  }
}

/** Links of ours change the view, not the document. Those marked data-settle replace the address. */
document.addEventListener("click", (event) => {
  const link = /** @type {Element} */ (event.target).closest?.("a[href]");
  if (!(link instanceof HTMLAnchorElement) || link.dataset.plain !== undefined || link.origin !== location.origin) return;
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  const href = link.pathname + link.search;
  if (link.dataset.settle !== undefined) settle(href);
  else go(href);
});

render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("app")));
// The address printed by the demo may be pasted into a tab in which we are already.
addEventListener("hashchange", () => {
  takeSecrets();
  if (code || share) greet();
});
takeSecrets();
greet();

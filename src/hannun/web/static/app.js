/** Entry point of the page: fetches the session, then shows the view that the URL names. */
import { useEffect, useRef } from "./vendor/preact-hooks.js";
import { render } from "./vendor/preact.js";
import { html } from "./html.js";
import { signal } from "./vendor/signals.js";
import { fetchSession, fetchShareExpiry, firstSession, firstShareExpiry, Problem, redeemShareLink, signIn, signOut } from "./api.js";
import {
  beginSession,
  beginShareAccess,
  codeRejected,
  endSession,
  hadShareAccess,
  hrefFor,
  hrefWith,
  lang,
  loseSession,
  navigate,
  replaceRoute,
  returnAddress,
  route,
  session,
  shareAccess,
  shareLinkRejected,
  texts,
} from "./state.js";
import { focusHeading, keepFocus } from "./focus.js";
import { lazy } from "./components/lazy.js";
import { Logo } from "./components/logo.js";
import { PageNotFound, ProblemView, ShareLinkInvalid } from "./components/problem.js";
import { Shortcuts } from "./components/shortcuts.js";
import { Skeleton } from "./components/skeleton.js";
import { ThemeSwitch } from "./components/theme-switch.js";
import { EventView } from "./views/event.js";
import { MerchantView } from "./views/merchant.js";
import { SignInView } from "./views/sign-in.js";

const MerchantsView = lazy(async () => (await import("./views/merchants.js")).MerchantsView);
const OperationsView = lazy(async () => (await import("./views/operations.js")).OperationsView);

const RETRY_MS = 5_000;

/** Why the session could not be fetched. */
const sessionProblem = signal(/** @type {Problem | null} */ (null));

/**
 * A place for a component that renders itself again. What contains a place keeps the node of the place, which stays the
 * same, and not the component's first node: that one would keep all nodes of its first rendering, and, through the nodes
 * that Preact reuses, parts of all later ones.
 * @param {{ of: import("./vendor/preact.js").ComponentType<any>, [name: string]: any }} props those of the component too
 */
const Place = ({ of: component, ...props }) => html`<${component} ...${props} />`;

/** The view of a path for a signed-in user. @param {string} path */
function signedInView(path) {
  const [, kind, part, ...rest] = path.replace(/\/$/, "").split("/");
  if (!kind) {
    const currentSession = /** @type {import("./api-types.js").Session} */ (session.value);
    return currentSession.roles.includes("ADMIN") ? html`<${Place} of=${MerchantsView} />` : html`<${Place} of=${MerchantView} key=${currentSession.userId} userId=${currentSession.userId} />`;
  }
  if (kind === "ops" && part === undefined) return html`<${Place} of=${OperationsView} />`;
  const id = decodePart(part);
  if (!id || rest.length > 0) return html`<${PageNotFound} />`;
  if (kind === "events") return html`<${Place} of=${EventView} key=${id} eventId=${id} />`;
  if (kind === "users") return html`<${Place} of=${MerchantView} key=${id} userId=${id} />`;
  return html`<${PageNotFound} />`;
}

/** The event id in a path, or "" if the path names no event. @param {string} path */
function eventIdIn(path) {
  const [, kind, part, ...rest] = path.replace(/\/$/, "").split("/");
  return kind === "events" && rest.length === 0 ? decodePart(part) : "";
}

/** The view of a path without a session: the event of a share link, else the sign-in form. @param {string} path */
function signedOutView(path) {
  const id = eventIdIn(path);
  if (id && shareAccess.value?.eventId === id) return html`<${Place} of=${EventView} key=${id} eventId=${id} />`;
  return id && (shareLinkRejected.value || hadShareAccess(id)) ? html`<${ShareLinkInvalid} />` : html`<${SignInView} />`;
}

/** @param {string | undefined} part */
function decodePart(part) {
  try {
    return decodeURIComponent(part ?? "");
  } catch {
    return "";
  }
}

function App() {
  const t = texts.value;
  const currentSession = session.value;
  const main = useRef(/** @type {HTMLElement | null} */ (null));
  const path = route.value.path;
  // The view that has the focus; unknown until it is known who looks.
  const view = currentSession === undefined ? null : `${currentSession?.userId ?? ""} ${path}`;
  const focusedView = useRef(view);

  // After a navigation, a sign-in or a sign-out the focus moves to the new heading, so that screen readers announce the
  // view. The first view needs none: the browser announces the document.
  useEffect(() => {
    const before = focusedView.current;
    focusedView.current = view;
    const moved = before !== null && view !== null && before !== view;
    return moved && main.current ? focusHeading(main.current) : undefined;
  }, [view]);
  useEffect(() => {
    if (main.current) keepFocus(main.current);
  }, []);

  return html`
    <a class="skip" href="#main" data-native>${t.skip}</a>
    <header class="app-header">
      <a class="brand" href=${hrefFor("/")}><${Logo} /><span>${t.name}</span></a>
      <div class="app-actions">
        <${Shortcuts} />
        <${ThemeSwitch} />
        <a
          class="button quiet"
          href=${hrefWith("lang", lang.value === "ko" ? "en" : "ko")}
          lang=${lang.value === "ko" ? "en" : "ko"}
          hreflang=${lang.value === "ko" ? "en" : "ko"}
          data-replace
          >${t.otherLanguage}</a
        >
        ${currentSession && html`<button type="button" class="button quiet" onClick=${handleSignOut}>${t.signOut}</button>`}
      </div>
    </header>
    <main id="main" ref=${main} tabindex="-1">
      ${sessionProblem.value
        ? html`<${ProblemView} problem=${sessionProblem.value} subject="user" retry=${startSession} />`
        : currentSession === undefined
          ? html`<${Skeleton} tiles=${4} />`
          : currentSession === null
            ? signedOutView(path)
            : signedInView(path)}
    </main>
  `;
}

async function handleSignOut() {
  try {
    await signOut();
  } catch (error) {
    // If the session had already expired, the user is signed out anyway. After a transient error the cookie still exists,
    // so the user stays signed in.
    if (!(error instanceof Problem) || error.transient) return;
  }
  endSession();
}

/** The one-time code from the URL, until it is redeemed. @type {string | null} */
let oneTimeCode = null;
/** The secret of the share link in the URL, until it is redeemed. @type {string | null} */
let shareSecret = null;

/** Move the secrets from the URL's fragment into memory. A reload or a copied URL must not contain them. */
function takeSecretsFromHash() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  oneTimeCode = parameters.get("code") ?? oneTimeCode;
  shareSecret = parameters.get("share") ?? shareSecret;
  if (parameters.has("code") || parameters.has("share")) replaceRoute(location.pathname + location.search);
}

/** Whether the service rejected a secret for good; a transient error is thrown. @param {Promise<void>} exchange */
async function isRejected(exchange) {
  try {
    await exchange;
    return false;
  } catch (error) {
    if (!(error instanceof Problem) || error.transient) throw error;
    return true;
  }
}

/** Redeem the secrets of the URL, then fetch the session. Retries after 5 s if that fails. */
async function startSession() {
  sessionProblem.value = null;
  try {
    if (oneTimeCode) codeRejected.value = await isRejected(signIn({ code: oneTimeCode }));
    // The address of a code is the start page: go on to where an ended session was.
    if (oneTimeCode && !codeRejected.value && location.pathname === "/") replaceRoute(returnAddress() ?? location.pathname + location.search);
    oneTimeCode = null;
    const eventId = eventIdIn(location.pathname);
    if (shareSecret && eventId) shareLinkRejected.value = await isRejected(redeemShareLink(eventId, shareSecret));
    shareSecret = null;
    const currentSession = await fetchSession();
    const expiresAt = currentSession === null && eventId ? await fetchShareExpiry(eventId) : null;
    if (expiresAt) beginShareAccess({ eventId, expiresAt });
    else shareAccess.value = null;
    if (currentSession) beginSession(currentSession);
    else loseSession();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    sessionProblem.value = error;
    setTimeout(startSession, RETRY_MS);
  }
}

/**
 * Client-side navigation: a link to this origin changes the view and does not load a document. Links with `data-replace`
 * add no entry to the browser history; links with `data-native` are left to the browser.
 */
document.addEventListener("click", (event) => {
  const link = /** @type {Element} */ (event.target).closest?.("a[href]");
  if (!(link instanceof HTMLAnchorElement) || link.dataset.native !== undefined || link.origin !== location.origin) return;
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  const href = link.pathname + link.search;
  if (link.dataset.replace !== undefined) replaceRoute(href);
  else navigate(href);
});

takeSecretsFromHash();
// The first rendering already has the numbers that came with the document.
const knownSession = oneTimeCode || shareSecret ? undefined : firstSession();
if (knownSession) beginSession(knownSession);
const firstEventId = eventIdIn(location.pathname);
const knownExpiry = oneTimeCode || shareSecret || !firstEventId ? undefined : firstShareExpiry(firstEventId);
if (knownExpiry) {
  beginShareAccess({ eventId: firstEventId, expiresAt: knownExpiry });
  loseSession();
}
render(html`<${Place} of=${App} />`, /** @type {HTMLElement} */ (document.getElementById("app")));
// The URL that the demo prints may be pasted into a tab that already shows the page.
addEventListener("hashchange", () => {
  takeSecretsFromHash();
  if (oneTimeCode || shareSecret) startSession();
});
if (!knownSession && !knownExpiry) startSession();

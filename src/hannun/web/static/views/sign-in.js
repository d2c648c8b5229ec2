/** Sign-in: by the platform, by a one-time code or the address with it, and for developers by an access token. */
import { useSignal } from "../vendor/signals.js";
import { useEffect } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { fetchSession, Problem, signIn } from "../api.js";
import { beginSession, codeRejected, lang, loseSession, route, sessionEnded, texts } from "../state.js";
import { BusyButton } from "../components/busy-button.js";
import { Logo } from "../components/logo.js";

/** @typedef {"missing" | "rejected" | "network" | "rateLimited" | "unavailable"} Failure */

/** The address of the platform's sign-in, which the service writes into the document; "" without one. */
const PLATFORM_URL = document.querySelector("meta[name=sign-in-url]")?.getAttribute("content") ?? "";

export function SignInView() {
  const t = texts.value.signIn;
  useEffect(() => {
    document.title = `${t.submit} · ${texts.value.name}`;
  }, [lang.value]);
  return html`
    <section class="sign-in">
      <${Logo} />
      <h1 tabindex="-1">${t.title}</h1>
      ${sessionEnded.value && html`<p class="form-notice" role="alert">${t.sessionEnded}</p>`}
      ${codeRejected.value && html`<p class="form-error" role="alert">${t.codeRejected}</p>`}
      ${PLATFORM_URL && html`<p>${t.platformLead}</p><p class="sign-in-platform"><a class="button primary" href=${platformAddress()}>${t.platform}</a></p>`}
      <p>${PLATFORM_URL ? t.codeLeadToo : t.codeLead}</p>
      <${CredentialForm} name="code" texts=${t.code} primary=${!PLATFORM_URL} read=${codeIn} />
      <details class="for-developers">
        <summary>${t.developers}</summary>
        <p class="note">${t.developersLead}</p>
        <${CredentialForm} name="token" type="password" texts=${t.token} read=${(/** @type {string} */ text) => text} />
        <p class="note">${t.operator} <code>hannun sign-in-code --home ${t.folder}</code></p>
      </details>
    </section>
  `;
}

/** The platform's sign-in, which is told the path to which it returns the browser. */
function platformAddress() {
  const address = new URL(PLATFORM_URL);
  const query = route.value.query.toString();
  address.searchParams.set("return", route.value.path + (query && `?${query}`));
  return address.href;
}

/** The one-time code in what was pasted: the code itself, or an address that ends with `#code=...`. @param {string} text */
const codeIn = (text) => /#(?:.*&)?code=([^&]+)/.exec(text)?.[1] ?? text;

/**
 * A field for a code or a token, and the button that signs in with it.
 * @param {object} props
 * @param {"code" | "token"} props.name
 * @param {string} [props.type]
 * @param {{ field: string, hint: string, missing: string, rejected: string }} props.texts
 * @param {boolean} [props.primary]
 * @param {(text: string) => string} props.read the credential in the trimmed text of the field
 */
function CredentialForm({ name, type = "text", texts: own, primary = false, read }) {
  const t = texts.value.signIn;
  const problemTexts = texts.value.problem;
  const busy = useSignal(false);
  const failure = useSignal(/** @type {Failure | null} */ (null));

  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const field = /** @type {HTMLInputElement} */ (/** @type {HTMLFormElement} */ (event.currentTarget).elements.namedItem(name));
    const credential = read(field.value.trim());
    failure.value = credential ? null : "missing";
    if (!credential) return field.focus();
    busy.value = true;
    try {
      await signIn(name === "code" ? { code: credential } : { token: credential });
      codeRejected.value = false;
      const session = await fetchSession();
      if (session) beginSession(session);
      else loseSession();
    } catch (error) {
      failure.value = failureOf(error);
      field.focus();
    }
    busy.value = false;
  };

  const messages = {
    missing: own.missing,
    rejected: own.rejected,
    network: problemTexts.network,
    rateLimited: problemTexts.rateLimited,
    unavailable: problemTexts.unavailable,
  };
  return html`
    <form onSubmit=${submit} novalidate>
      <label for=${name}>${own.field}</label>
      <input
        id=${name}
        name=${name}
        type=${type}
        autocomplete="off"
        autocapitalize="off"
        spellcheck=${false}
        required
        aria-describedby="${name}-hint ${name}-error"
        aria-invalid=${failure.value === "rejected" || failure.value === "missing" ? "true" : undefined}
      />
      <p id="${name}-error" class="form-error" role="alert">${failure.value ? messages[failure.value] : ""}</p>
      <${BusyButton} type="submit" class=${primary ? "button primary" : "button"} busy=${busy.value}>${busy.value ? t.checking : t.submit}<//>
      <p id="${name}-hint" class="note">${own.hint}</p>
    </form>
  `;
}

/** @param {unknown} error @returns {Failure} */
function failureOf(error) {
  if (!(error instanceof Problem)) throw error;
  if (error.status === 0) return "network";
  if (error.status === 429) return "rateLimited";
  return error.status >= 500 ? "unavailable" : "rejected";
}

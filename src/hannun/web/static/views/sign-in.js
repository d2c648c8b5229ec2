/** The sign-in form: exchanges an access token for a session cookie. */
import { useSignal } from "../vendor/signals.js";
import { useEffect } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { fetchSession, Problem, signIn } from "../api.js";
import { beginSession, codeRejected, lang, loseSession, sessionEnded, texts } from "../state.js";
import { Logo } from "../components/logo.js";

/** @typedef {"tokenMissing" | "tokenRejected" | "network" | "rateLimited" | "unavailable"} Failure */

export function SignInView() {
  const t = texts.value.signIn;
  const problemTexts = texts.value.problem;
  const busy = useSignal(false);
  const failure = useSignal(/** @type {Failure | null} */ (null));
  useEffect(() => {
    document.title = `${t.submit} · ${texts.value.name}`;
  }, [lang.value]);

  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    const field = /** @type {HTMLInputElement} */ (form.elements.namedItem("token"));
    const token = field.value.trim();
    failure.value = token ? null : "tokenMissing";
    if (!token) return field.focus();
    busy.value = true;
    try {
      await signIn({ token });
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
    tokenMissing: t.tokenMissing,
    tokenRejected: t.tokenRejected,
    network: problemTexts.network,
    rateLimited: problemTexts.rateLimited,
    unavailable: problemTexts.unavailable,
  };
  return html`
    <section class="sign-in">
      <${Logo} />
      <h1 tabindex="-1">${t.title}</h1>
      ${sessionEnded.value && html`<p class="form-notice" role="alert">${t.sessionEnded}</p>`}
      ${codeRejected.value && html`<p class="form-error" role="alert">${t.codeRejected}</p>`}
      <p>${t.lead}</p>
      <form onSubmit=${submit} novalidate>
        <label for="token">${t.field}</label>
        <input
          id="token"
          name="token"
          type="password"
          autocomplete="off"
          autocapitalize="off"
          spellcheck=${false}
          required
          aria-describedby="token-hint token-error"
          aria-invalid=${failure.value === "tokenRejected" || failure.value === "tokenMissing" ? "true" : undefined}
        />
        <p id="token-error" class="form-error" role="alert">${failure.value ? messages[failure.value] : ""}</p>
        <button type="submit" class="button primary" disabled=${busy.value}>${busy.value ? t.checking : t.submit}</button>
        <p id="token-hint" class="note">${t.hint}</p>
        <p class="note">${t.operator} <code>hannun sign-in-code --home ${t.folder}</code></p>
      </form>
    </section>
  `;
}

/** @param {unknown} error @returns {Failure} */
function failureOf(error) {
  if (!(error instanceof Problem)) throw error;
  if (error.status === 0) return "network";
  if (error.status === 429) return "rateLimited";
  return error.status >= 500 ? "unavailable" : "tokenRejected";
}

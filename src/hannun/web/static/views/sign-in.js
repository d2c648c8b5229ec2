/** The door: a token goes in, a cookie comes back. And, for administrators, which merchant to look at. */
import { useSignal } from "../vendor/signals.js";
import { useEffect } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { Problem, signIn, whoAmI } from "../api.js";
import { address, codeRefused, go, lang, session, words } from "../state.js";
import { Eye } from "../components/problem.js";

export function SignInView() {
  const w = words.value.signIn;
  const p = words.value.problem;
  const busy = useSignal(false);
  const refused = useSignal(/** @type {"" | "empty" | "refused" | "network" | "busy" | "resting"} */ (""));
  useEffect(() => {
    document.title = `${w.go} · ${words.value.name}`;
  }, [lang.value]);

  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    const field = /** @type {HTMLInputElement} */ (form.elements.namedItem("token"));
    const token = field.value.trim();
    refused.value = token ? "" : "empty";
    if (!token) return field.focus();
    busy.value = true;
    try {
      await signIn({ token });
      codeRefused.value = false;
      session.value = await whoAmI();
    } catch (error) {
      refused.value = reason(error);
      field.focus();
    }
    busy.value = false;
  };

  const said = { "": "", empty: w.empty, refused: w.refused, network: p.network, busy: p.busy, resting: p.resting }[refused.value];
  return html`
    <section class="door">
      <${Eye} />
      <h1 tabindex="-1">${w.title}</h1>
      ${codeRefused.value && html`<p class="said" role="alert">${w.codeRefused}</p>`}
      <p>${w.lead}</p>
      <form onSubmit=${submit} novalidate>
        <label for="token">${w.field}</label>
        <input
          id="token"
          name="token"
          type="password"
          autocomplete="off"
          autocapitalize="off"
          spellcheck=${false}
          required
          aria-describedby="token-hint token-said"
          aria-invalid=${refused.value === "refused" || refused.value === "empty" ? "true" : undefined}
        />
        <p id="token-said" class="said" role="alert">${said}</p>
        <button type="submit" class="button primary" disabled=${busy.value}>${busy.value ? w.going : w.go}</button>
        <p id="token-hint" class="note">${w.hint}</p>
      </form>
    </section>
  `;
}

/** @param {unknown} error */
function reason(error) {
  if (!(error instanceof Problem)) throw error;
  if (error.status === 0) return "network";
  if (error.status === 429) return "busy";
  return error.status >= 500 ? "resting" : "refused";
}

export function WhichMerchantView() {
  const w = words.value.admin;
  useEffect(() => {
    document.title = `${w.title} · ${words.value.name}`;
  }, [lang.value]);
  const submit = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    const id = /** @type {HTMLInputElement} */ (form.elements.namedItem("merchant")).value.trim();
    if (id) go(address(`/users/${encodeURIComponent(id)}`));
  };
  return html`
    <section class="door">
      <${Eye} />
      <h1 tabindex="-1">${w.title}</h1>
      <p>${w.lead}</p>
      <form onSubmit=${submit}>
        <label for="merchant">${w.field}</label>
        <input id="merchant" name="merchant" type="text" autocomplete="off" autocapitalize="off" spellcheck=${false} required />
        <button type="submit" class="button primary">${w.go}</button>
      </form>
    </section>
  `;
}

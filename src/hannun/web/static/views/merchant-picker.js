/** For administrators: a form that asks which merchant's events to show. */
import { useEffect } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { hrefFor, lang, navigate, texts } from "../state.js";
import { Logo } from "../components/logo.js";

export function MerchantPickerView() {
  const t = texts.value.merchantPicker;
  useEffect(() => {
    document.title = `${t.title} · ${texts.value.name}`;
  }, [lang.value]);
  const submit = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    const id = /** @type {HTMLInputElement} */ (form.elements.namedItem("merchant")).value.trim();
    if (id) navigate(hrefFor(`/users/${encodeURIComponent(id)}`));
  };
  return html`
    <section class="sign-in">
      <${Logo} />
      <h1 tabindex="-1">${t.title}</h1>
      <p>${t.lead}</p>
      <form onSubmit=${submit}>
        <label for="merchant">${t.field}</label>
        <input id="merchant" name="merchant" type="text" autocomplete="off" autocapitalize="off" spellcheck=${false} required />
        <button type="submit" class="button primary">${t.submit}</button>
      </form>
      <p><a href=${hrefFor("/ops")}>${t.operations}</a></p>
    </section>
  `;
}

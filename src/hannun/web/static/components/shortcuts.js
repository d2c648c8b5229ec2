/** The list of keyboard shortcuts: a button in the header, and a dialog that `?` opens too. */
import { useRef } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { shortcuts, shortcutsOn, turnShortcuts, useShortcut } from "../keyboard.js";
import { texts } from "../state.js";

/** What is written on a key whose name is not what is written on it. @type {Record<string, string>} */
const KEY_LABELS = { ArrowLeft: "←", ArrowRight: "→" };

export function Shortcuts() {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const open = () => dialog.current?.showModal();
  useShortcut("?", open, "help");
  const t = texts.value.shortcuts;
  return html`
    <button type="button" class="button quiet icon shortcuts-button" aria-label=${t.title} title=${t.title} onClick=${open}>
      <kbd aria-hidden="true">?</kbd>
    </button>
    <dialog class="dialog shortcuts" aria-labelledby="shortcuts-title" ref=${dialog}>
      <h2 id="shortcuts-title">${t.title}</h2>
      <dl class=${shortcutsOn.value ? "" : "off"}>
        ${shortcuts.value.map(
          ({ key, name }) => html`<div key=${name}>
            <dt><kbd>${KEY_LABELS[key] ?? key}</kbd></dt>
            <dd>${t.actions[name]}</dd>
          </div>`,
        )}
      </dl>
      <label class="shortcuts-switch">
        <input type="checkbox" checked=${shortcutsOn.value} onChange=${(/** @type {Event} */ event) => turnShortcuts(/** @type {HTMLInputElement} */ (event.target).checked)} />
        ${t.on}
      </label>
      <form method="dialog"><button class="button">${texts.value.definitions.close}</button></form>
    </dialog>
  `;
}

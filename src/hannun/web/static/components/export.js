/** What is seen, as files: a button that opens a choice, and a line that says how the file is coming along. */
import { useId, useMemo } from "../vendor/preact-hooks.js";
import { signal } from "../vendor/signals.js";
import { html } from "../html.js";
import { download, Problem } from "../api.js";
import { count } from "../format.js";
import { words } from "../state.js";
import { Sheet } from "./sheet.js";

const FORMATS = /** @type {const} */ (["xlsx", "csv", "parquet"]);
const KB = 1_000;

/** @typedef {typeof FORMATS[number]} Format */
/**
 * One thing to take along: its name, what is in it, and the address that answers it as JSON.
 * @typedef {{ name: string, holds?: string, url: string }} Part
 */
/** @typedef {{ part: string, format: Format, bytes: number, name?: string, problem?: Problem }} Making */

/** @param {{ parts: Part[] }} props */
export function Export({ parts }) {
  const id = useId();
  const making = useMemo(() => signal(/** @type {Making | null} */ (null)), []);
  const w = words.value.files;
  const now = making.value;
  const busy = now !== null && !now.name && !now.problem;

  /** @param {Part} part @param {Format} format */
  const take = async (part, format) => {
    const begun = { part: part.name, format, bytes: 0 };
    making.value = begun;
    document.getElementById(id)?.hidePopover(); // the focus goes back to the button
    try {
      const address = new URL(part.url, location.href);
      address.searchParams.set("format", format);
      const { file, name } = await download(address.pathname + address.search, (bytes) => (making.value = { ...begun, bytes }));
      save(file, name);
      making.value = { ...begun, bytes: file.size, name };
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      making.value = { ...begun, problem: error };
    }
  };

  return html`
    <div class="export">
      <button type="button" class="button small" popovertarget=${id} aria-haspopup="dialog" aria-busy=${busy}>
        <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
          <path d="M8 2v8m0 0 3.25-3.25M8 10 4.75 6.75M2.5 11.5v2h11v-2" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" />
        </svg>
        ${w.open}
      </button>
      <${Sheet} id=${id} name=${w.title} heading="h2">
        <p class="note">${w.lead}</p>
        <ul class="parts">
          ${parts.map(
            (part) => html`
              <li>
                <p><strong>${part.name}</strong>${part.holds && html` <span class="note">${part.holds}</span>`}</p>
                <div class="formats">
                  ${FORMATS.map(
                    (format) => html`
                      <button type="button" class="button format" disabled=${busy} aria-label=${w.take(part.name, w.formats[format])} onClick=${() => take(part, format)}>
                        ${w.formats[format]}
                      </button>
                    `,
                  )}
                </div>
              </li>
            `,
          )}
        </ul>
      <//>
      <p class=${`export-said${now?.problem ? " failed" : ""}`} role="status">${now && said(now)}</p>
    </div>
  `;
}

/** @param {Making} making */
function said({ part, format, bytes, name, problem }) {
  const w = words.value.files;
  const what = w.what(part, w.formats[format]);
  if (name) return w.done(name);
  if (problem) return html`<strong>${w.failed(what)}</strong> ${why(problem)}`;
  return html`<span class="spinner" aria-hidden="true"></span>${w.making(what)}${bytes > 0 && html`<span aria-hidden="true"> · ${size(bytes)}</span>`}`;
}

/** @param {Problem} problem */
function why(problem) {
  const w = words.value.files;
  if (problem.status === 0) return w.network;
  if (problem.status === 401 || problem.status === 404) return w.closed;
  if (problem.code === "format-not-installed") return w.missing;
  if (problem.status === 429) return w.busy;
  if (problem.status >= 500) return w.resting;
  return problem.detail || w.other(problem.code);
}

/** @param {number} bytes */
const size = (bytes) => (bytes < KB * KB ? `${count(Math.ceil(bytes / KB))} KB` : `${count(bytes / KB / KB, 1)} MB`);

/** Hand a file to the browser, which puts it where its user wants files. @param {Blob} file @param {string} name */
function save(file, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.dataset.plain = "";
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // some browsers begin to read it later
}

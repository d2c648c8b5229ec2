/** Export of the shown figures as files: a button, a panel with the choices, and a line with the state of the export. */
import { useId, useMemo } from "../vendor/preact-hooks.js";
import { signal } from "../vendor/signals.js";
import { html } from "../html.js";
import { download, Problem } from "../api.js";
import { formatCount } from "../format.js";
import { texts } from "../state.js";
import { Sheet } from "./sheet.js";

/** @typedef {"xlsx" | "csv" | "parquet"} Format */
/** The formats that this server can make; it writes them into the document. */
const FORMATS = /** @type {Format[]} */ (document.querySelector("meta[name=export-formats]")?.getAttribute("content")?.split(" ") ?? []);
const KB = 1_000;

/**
 * Data that can be exported: its name, a description of its contents, and the URL that returns it as JSON.
 * @typedef {{ name: string, contents?: string, url: string }} ExportPart
 */
/** The export that runs or ran last; `name` is set when it is complete. @typedef {{ part: string, format: Format, bytes: number, name?: string, problem?: Problem }} ExportState */

/** @param {{ parts: ExportPart[] }} props */
export function Export({ parts }) {
  const id = useId();
  const exportState = useMemo(() => signal(/** @type {ExportState | null} */ (null)), []);
  const t = texts.value.exportMenu;
  const current = exportState.value;
  const busy = current !== null && !current.name && !current.problem;

  /** @param {ExportPart} part @param {Format} format */
  const exportPart = async (part, format) => {
    const started = { part: part.name, format, bytes: 0 };
    exportState.value = started;
    document.getElementById(id)?.hidePopover(); // the browser returns the focus to the button
    try {
      const address = new URL(part.url, location.href);
      address.searchParams.set("format", format);
      const { file, name } = await download(address.pathname + address.search, (bytes) => (exportState.value = { ...started, bytes }));
      saveFile(file, name);
      exportState.value = { ...started, bytes: file.size, name };
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      exportState.value = { ...started, problem: error };
    }
  };

  return html`
    <div class="export">
      <button type="button" class="button small" popovertarget=${id} aria-haspopup="dialog" aria-busy=${busy}>
        <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
          <path d="M8 2v8m0 0 3.25-3.25M8 10 4.75 6.75M2.5 11.5v2h11v-2" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" />
        </svg>
        ${t.open}
      </button>
      <${Sheet} id=${id} name=${t.title} heading="h2">
        <p class="note">${t.lead}</p>
        <ul class="export-parts">
          ${parts.map(
            (part) => html`
              <li>
                <p><strong>${part.name}</strong>${part.contents && html` <span class="note">${part.contents}</span>`}</p>
                <div class="formats">
                  ${FORMATS.map(
                    (format) => html`
                      <button type="button" class="button format" disabled=${busy} aria-label=${t.download(part.name, t.formats[format])} onClick=${() => exportPart(part, format)}>
                        ${t.formats[format]}
                      </button>
                    `,
                  )}
                </div>
              </li>
            `,
          )}
        </ul>
      <//>
      <p class=${`export-status${current?.problem ? " failed" : ""}`} role="status">${current && statusText(current)}</p>
    </div>
  `;
}

/** @param {ExportState} exportState */
function statusText({ part, format, bytes, name, problem }) {
  const t = texts.value.exportMenu;
  const what = t.partInFormat(part, t.formats[format]);
  if (name) return t.done(name);
  if (problem) return html`<strong>${t.failed(what)}</strong> ${failureReason(problem)}`;
  return html`<span class="spinner" aria-hidden="true"></span>${t.preparing(what)}${bytes > 0 && html`<span aria-hidden="true"> · ${formatSize(bytes)}</span>`}`;
}

/** @param {Problem} problem */
function failureReason(problem) {
  const t = texts.value.exportMenu;
  if (problem.status === 0) return t.network;
  if (problem.status === 401 || problem.status === 404) return t.noAccess;
  if (problem.code === "format-not-installed") return t.formatUnavailable;
  if (problem.status === 429) return t.rateLimited;
  if (problem.status >= 500) return t.unavailable;
  return problem.detail || t.other(problem.code);
}

/** @param {number} bytes */
const formatSize = (bytes) => (bytes < KB * KB ? `${formatCount(Math.ceil(bytes / KB))} KB` : `${formatCount(bytes / KB / KB, 1)} MB`);

/** Start the browser's download of a file. @param {Blob} file @param {string} name */
function saveFile(file, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.dataset.native = "";
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // some browsers read the URL only after the click has returned
}

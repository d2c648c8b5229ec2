/**
 * Taking away the shown figures: a button with a panel of choices, and a line with the state of what runs.
 *
 *     report (PDF) ─► tables (Excel, CSV, Parquet) ─► a text to copy, a link to share     in this order
 */
import { useId, useMemo } from "../vendor/preact-hooks.js";
import { signal } from "../vendor/signals.js";
import { html } from "../html.js";
import { download, getText, Problem } from "../api.js";
import { canSend, copyText, sendToApp } from "../clipboard.js";
import { formatCount } from "../format.js";
import { lang, texts } from "../state.js";
import { BusyButton } from "./busy-button.js";
import { Sheet } from "./sheet.js";
import { SharePanel } from "./share.js";

/** @typedef {"pdf" | "xlsx" | "csv" | "parquet"} Format */
/** The formats of tables that this server can make; it writes them into the document. */
const FORMATS = /** @type {Format[]} */ (document.querySelector("meta[name=export-formats]")?.getAttribute("content")?.split(" ") ?? []);
const KB = 1_000;

/**
 * Data that can be exported: its name, a description of its contents, and the URL that returns it as JSON.
 * @typedef {{ name: string, contents?: string, url: string }} ExportPart
 */
/** The export that runs or ran last; `name` is set when it is complete. @typedef {{ part: string, format: Format, bytes: number, name?: string, problem?: Problem }} ExportState */
/** An event of which there is a report and a text. @typedef {{ eventId: string, eventTitle: string, endDate?: string | null, url: string, canShare: boolean }} ExportedEvent */

/**
 * @param {object} props
 * @param {ExportPart[]} props.parts the tables
 * @param {ExportedEvent} [props.event]
 */
export function Export({ parts, event }) {
  const id = useId();
  const shareId = useId();
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
        <div class="take-away">
        <p class="note">${t.lead}</p>
        ${event &&
        html`
          <${BusyButton} class="button primary report" busy=${busy} onClick=${() => exportPart({ name: t.report, url: event.url }, "pdf")}>
            <strong>${t.report}</strong><span>${t.reportContents}</span>
          <//>
          <h3>${t.tables}</h3>
        `}
        <ul class="export-parts">
          ${parts.map(
            (part) => html`
              <li>
                <p><strong>${part.name}</strong>${part.contents && html` <span class="note">${part.contents}</span>`}</p>
                <div class="formats">
                  ${FORMATS.map(
                    (format) => html`
                      <${BusyButton} class="button format" busy=${busy} aria-label=${t.download(part.name, t.formats[format])} onClick=${() => exportPart(part, format)}>
                        ${t.formats[format]}
                      <//>
                    `,
                  )}
                </div>
              </li>
            `,
          )}
        </ul>
        ${event && html`<${Messages} id=${id} shareId=${shareId} event=${event} />`}
        </div>
      <//>
      ${event?.canShare &&
      html`
        <button type="button" class="button small" popovertarget=${shareId} aria-haspopup="dialog">
          <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
            <path d="M6.6 9.4a2.6 2.6 0 0 0 3.7 0l2.4-2.4A2.6 2.6 0 0 0 9 3.3l-.8.8M9.4 6.6a2.6 2.6 0 0 0-3.7 0L3.3 9A2.6 2.6 0 0 0 7 12.7l.8-.8" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" />
          </svg>
          ${texts.value.share.open}
        </button>
        <${SharePanel} id=${shareId} event=${event} />
      `}
      <p class=${`export-status${current?.problem ? " failed" : ""}`} role="status">${current && statusText(current)}</p>
    </div>
  `;
}

/** What is sent as a message: a text, and a link. @param {{ id: string, shareId: string, event: ExportedEvent }} props */
function Messages({ id, shareId, event }) {
  const t = texts.value.exportMenu;
  const notice = useMemo(() => signal(/** @type {{ text: string, failed?: boolean } | null} */ (null)), []);
  const shown = useMemo(() => signal(""), []); // the text, where it could not be copied
  const address = new URL(event.url, location.href);
  address.searchParams.set("format", "txt");
  address.searchParams.set("lang", lang.value);
  const load = () => getText(address.pathname + address.search);

  /** @param {(text: Promise<string>) => Promise<void>} use */
  const withText = async (use) => {
    notice.value = { text: t.copying };
    shown.value = "";
    try {
      await use(load());
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      notice.value = { text: `${t.textFailed} ${failureReason(problem)}`, failed: true };
    }
  };
  const copy = () =>
    withText(async (text) => {
      const copied = await copyText(text);
      notice.value = copied ? { text: t.textCopied } : { text: t.textNotCopied, failed: true };
      if (!copied) shown.value = await text;
    });
  const pass = () =>
    withText(async (text) => {
      await sendToApp({ text: await text });
      notice.value = null;
    });
  const share = () => {
    document.getElementById(id)?.hidePopover();
    document.getElementById(shareId)?.showPopover();
  };

  return html`
    <h3>${t.message}</h3>
    <div class="messages">
      <button type="button" class="button" onClick=${copy}>${t.copyText}</button>
      ${canSend() && html`<button type="button" class="button" onClick=${pass}>${t.sendText}</button>`}
      ${event.canShare && html`<button type="button" class="button" onClick=${share}>${texts.value.share.open}</button>`}
    </div>
    <p class=${`share-notice${notice.value?.failed ? " failed" : ""}`} role="status">${notice.value?.text}</p>
    ${shown.value && html`<textarea class="message-text" readonly rows="6" aria-label=${t.text} value=${shown.value}></textarea>`}
  `;
}

/** @param {ExportState} exportState */
function statusText({ part, format, bytes, name, problem }) {
  const t = texts.value.exportMenu;
  const what = format === "pdf" ? part : t.partInFormat(part, t.formats[format]);
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

/** A titled list that is loaded page by page. Until new results are there, the ones before stay, dimmed. */
import { useEffect, useLayoutEffect, useRef } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { formatCount } from "../format.js";
import { FIRST_PAGE_SIZE } from "../pages.js";
import { texts } from "../state.js";
import { BusyButton } from "./busy-button.js";
import { RetryNote } from "./retry-note.js";

/** They keep the room of the first page. */
const PLACEHOLDERS = Array.from({ length: FIRST_PAGE_SIZE }, (_, place) => place);

/**
 * @template T
 * @param {object} props
 * @param {string} props.id
 * @param {string} props.title
 * @param {import("../pages.js").Pages<T>} props.pages
 * @param {(count: string) => string} props.found says how many are shown
 * @param {string} props.empty
 * @param {string} props.failed
 * @param {(item: T) => string} props.keyOf
 * @param {(item: T) => any} props.renderItem
 */
export function PagedSection({ id, title, pages, found, empty, failed, keyOf, renderItem }) {
  useEffect(() => {
    if (!pages.items.peek()) pages.load();
  }, [pages]);
  const before = useRef(/** @type {T[] | null} */ (null));
  const loaded = pages.items.value;
  const problem = pages.problem.value;
  if (loaded) before.current = loaded;
  const shown = loaded ?? (problem ? null : before.current);
  const more = pages.next.value !== null;
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  const continueAt = useRef(/** @type {number | null} */ (null));
  // With the last page the button goes: the first result of the page takes the focus.
  useLayoutEffect(() => {
    if (continueAt.current === null || more || problem) return;
    list.current?.children[continueAt.current]?.querySelector("a")?.focus();
    continueAt.current = null;
  }, [loaded]);
  const loadMore = () => {
    continueAt.current = loaded?.length ?? null;
    pages.load();
  };
  const count = formatCount(shown?.length ?? 0) + (more ? "+" : "");
  return html`
    <section class="card entry-section" aria-labelledby=${id} aria-busy=${pages.loading.value}>
      <h2 id=${id}>${title}</h2>
      <p class="sr-only" role="status">${loaded ? (loaded.length ? found(count) : empty) : ""}</p>
      ${!shown && !problem && html`<p class="sr-only">${texts.value.loading}</p><div class="entry-waiting" aria-hidden="true">${PLACEHOLDERS.map((place) => html`<div key=${place} class="placeholder"></div>`)}</div>`}
      ${shown && shown.length === 0 && html`<p class="note">${empty}</p>`}
      ${shown &&
      shown.length > 0 &&
      html`<ul class="entry-list ${loaded ? "" : "dimmed"}" ref=${list}>
        ${shown.map((item) => html`<li key=${keyOf(item)}>${renderItem(item)}</li>`)}
      </ul>`}
      ${problem && html`<${RetryNote} text=${failed} retry=${() => pages.load()} />`}
      ${loaded && more && !problem && html`<${BusyButton} class="button entry-more" busy=${pages.loading.value} onClick=${loadMore}>${texts.value.more}<//>`}
    </section>
  `;
}

/** A list that the service sends page by page: each page has the cursor of the next one. */
import { signal } from "./vendor/signals.js";
import { getJson, Problem } from "./api.js";

/** As many as a phone shows on a few screens. */
export const FIRST_PAGE_SIZE = 10;
const NEXT_PAGE_SIZE = 50;

/** @template T */
export class Pages {
  /** What has been loaded; null before the first page. */
  items = signal(/** @type {T[] | null} */ (null));
  /** Why the last page could not be loaded. */
  problem = signal(/** @type {Problem | null} */ (null));
  loading = signal(false);
  /** The cursor of the next page; null where there is none. */
  next = signal(/** @type {string | null} */ (null));
  #url;
  #field;
  #text;

  /** @param {string} url @param {string} field of the list in an answer @param {string} text what is searched for; empty for all */
  constructor(url, field, text) {
    this.#url = url;
    this.#field = field;
    this.#text = text;
  }

  /** Load the first page, or the next one. */
  async load() {
    if (this.loading.peek()) return;
    this.loading.value = true;
    const before = this.items.peek();
    const query = new URLSearchParams({ limit: String(before ? NEXT_PAGE_SIZE : FIRST_PAGE_SIZE) });
    if (this.#text) query.set("q", this.#text);
    const cursor = this.next.peek();
    if (cursor) query.set("cursor", cursor);
    try {
      const page = await getJson(`${this.#url}?${query}`);
      this.next.value = page.nextCursor;
      this.items.value = [...(before ?? []), ...page[this.#field]];
      this.problem.value = null;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.problem.value = error;
    }
    this.loading.value = false;
  }
}

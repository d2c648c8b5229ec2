/** Search, status filter and sort of the list of events. Each is in the URL, so that a copied one shows the same list. */
import { html } from "../html.js";
import { SORTS, STATUSES, statusOf } from "../event-list.js";
import { formatCount } from "../format.js";
import { hrefWith, now, replaceRoute, texts } from "../state.js";
import { SearchField } from "./search-field.js";

/** @param {string} name @param {string} value @param {string} unset the value that stands for no parameter */
const select = (name, value, unset) => replaceRoute(hrefWith(name, value === unset ? null : value));

/** @param {{ events: import("../api-types.js").EventSummary[], selection: import("../event-list.js").Selection }} props */
export function ListControls({ events, selection }) {
  const t = texts.value.eventList;
  const onSort = (/** @type {Event} */ event) => select("sort", /** @type {HTMLSelectElement} */ (event.currentTarget).value, SORTS[0]);
  return html`
    <div class="list-controls">
      <${SearchField} label=${t.search} text=${selection.text} onText=${(/** @type {string} */ text) => select("q", text, "")} />
      <div class="list-statuses" role="group" aria-label=${t.status}>
        ${STATUSES.map((status) => html`<${StatusButton} key=${status} status=${status} events=${events} pressed=${status === selection.status} />`)}
      </div>
      <select class="list-sort" aria-label=${t.sort} value=${selection.sort} onChange=${onSort}>
        ${SORTS.map((sort) => html`<option key=${sort} value=${sort} selected=${sort === selection.sort}>${t.sorts[sort]}</option>`)}
      </select>
    </div>
  `;
}

/** @param {{ status: import("../event-list.js").Status, events: import("../api-types.js").EventSummary[], pressed: boolean }} props */
function StatusButton({ status, events, pressed }) {
  const count = status === "all" ? events.length : events.filter((event) => statusOf(event, now.value) === status).length;
  return html`
    <button type="button" class="list-status" aria-pressed=${pressed} onClick=${() => select("status", status, STATUSES[0])}>
      ${texts.value.eventList.statuses[status]} <span class="list-status-count">${formatCount(count)}</span>
    </button>
  `;
}

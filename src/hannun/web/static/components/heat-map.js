/**
 * When participants come: a cell for each hour of each day of the week, darker with more of them.
 *
 * The cells are a table for assistive technology. A finger that slides over them, the mouse and the arrow keys choose a
 * cell, which a line below says in words; a second table has the same counts as text.
 */
import { useSignal } from "../vendor/signals.js";
import { html } from "../html.js";
import { formatCount, formatPercent } from "../format.js";
import { useUnchanged } from "../sharing.js";
import { hrefWith, replaceRoute, route, texts } from "../state.js";
import { RetryNote } from "./retry-note.js";

/** @typedef {import("../api-types.js").HeatMap} HeatMapFigures */
/** @typedef {{ day: number, hour: number }} Cell */

const HOURS = Array.from({ length: 24 }, (_, hour) => hour);
const LEVELS = 5;
const TABLE_PARAMETER = "hours";
/** With fewer in the busiest hour, another one may be the busiest by chance. */
const BUSIEST_MIN = 10;

/** @param {{ map: HeatMapFigures | null | undefined, loaded: boolean, failed: boolean, retry: () => void }} props */
export function HeatMap({ map, loaded, failed, retry }) {
  const t = texts.value.heatMap;
  return html`
    <section class="card heat-map" aria-labelledby="heat-map-title" aria-busy=${!loaded && !failed ? "true" : "false"}>
      <div class="section-head"><h2 id="heat-map-title" tabindex="-1">${t.title}</h2></div>
      ${!map
        ? failed && html`<${RetryNote} text=${t.failed} retry=${retry} />`
        : !map.participants
          ? html`<p class="note">${t.notKept}</p>`
          : !map.total
            ? html`<p class="note">${t.empty(map.weeks)}</p>`
            : html`<${Cells} map=${map} counts=${map.participants} total=${map.total} />`}
    </section>
  `;
}

/** @param {{ map: HeatMapFigures, counts: number[][], total: number }} props */
function Cells({ map, counts, total }) {
  const t = texts.value.heatMap;
  const chosen = useSignal(/** @type {Cell | null} */ (null));
  const most = Math.max(...counts.flat());
  const busiest = busiestCell(counts, most);
  const cell = chosen.value ?? busiest;
  // Most new participants only raise the count of the busiest hour. The rows whose cells keep their shades are not rendered again.
  const levels = useUnchanged(counts.map((row) => row.map((count) => levelOf(count, most))));
  const showsTable = route.value.query.get(TABLE_PARAMETER) === "1";
  const choose = (/** @type {Cell | null} */ found) => {
    if (found && (found.day !== chosen.peek()?.day || found.hour !== chosen.peek()?.hour)) chosen.value = found;
  };
  const sayCell = (/** @type {Cell} */ { day, hour }) => t.cell(dayName(t.days, map, day), t.hours(hour), formatCount(counts[day]?.[hour] ?? 0));
  return html`
    <p class="section-lead">
      ${most < BUSIEST_MIN
        ? t.early
        : t.busiest(dayName(t.days, map, busiest.day), t.hours(busiest.hour), formatCount(most), formatPercent(Math.round((most / total) * 1000) / 10), map.weeks)}
    </p>
    <div
      class="heat-cells"
      role="group"
      tabindex="0"
      aria-label=${t.label}
      aria-describedby="heat-map-keys"
      onPointerDown=${(/** @type {PointerEvent} */ event) => choose(cellAt(event))}
      onPointerMove=${(/** @type {PointerEvent} */ event) => choose(cellAt(event))}
      onPointerLeave=${(/** @type {PointerEvent} */ event) => {
        // A finger leaves with the end of each tap.
        if (event.pointerType === "mouse") chosen.value = null;
      }}
      onBlur=${() => (chosen.value = null)}
      onKeyDown=${(/** @type {KeyboardEvent} */ event) => {
        const next = cellByKey(event.key, cell);
        if (!next) return;
        event.preventDefault();
        choose(next);
      }}
    >
      <table>
        <caption class="sr-only">${t.caption(map.weeks)}</caption>
        <thead>
          <tr>
            <td></td>
            ${HOURS.map((hour) => html`<th scope="col"><span aria-hidden="true">${hour % 6 === 0 ? t.hourShort(hour) : ""}</span><span class="sr-only">${t.hours(hour)}</span></th>`)}
          </tr>
        </thead>
        <tbody>
          ${counts.map((row, day) => html`<${Day} day=${day} code=${map.days[day] ?? ""} counts=${row} levels=${levels[day] ?? []} chosenHour=${cell.day === day ? cell.hour : null} />`)}
        </tbody>
      </table>
    </div>
    <p class="sr-only" id="heat-map-keys">${t.keys}</p>
    <p class="heat-readout" aria-live=${chosen.value ? "polite" : "off"}>${sayCell(cell)}</p>
    <div class="heat-foot">
      <p class="heat-legend">
        <span>${t.few}</span>
        ${HOURS.slice(0, LEVELS + 1).map((level) => html`<span class="heat-key level-${level}" aria-hidden="true"></span>`)}
        <span>${t.many(formatCount(most))}</span>
      </p>
      <button
        type="button"
        class="button quiet small"
        aria-expanded=${showsTable ? "true" : "false"}
        onClick=${() => replaceRoute(hrefWith(TABLE_PARAMETER, showsTable ? null : "1"))}
      >
        ${showsTable ? texts.value.chart.hideTable : texts.value.chart.showTable}
      </button>
    </div>
    ${showsTable && html`<${HoursTable} map=${map} counts=${counts} />`}
  `;
}

/** @param {{ day: number, code: string, counts: number[], levels: number[], chosenHour: number | null }} props */
function Day({ day, code, counts, levels, chosenHour }) {
  const t = texts.value.heatMap;
  return html`<tr>
    <th scope="row"><span aria-hidden="true">${nameOf(t.daysShort, code)}</span><span class="sr-only">${nameOf(t.days, code)}</span></th>
    ${counts.map(
      (count, hour) => html`<td data-day=${day} data-hour=${hour} class="level-${levels[hour] ?? 0} ${hour === chosenHour ? "chosen" : ""}"><span>${formatCount(count)}</span></td>`,
    )}
  </tr>`;
}

/** The counts as text, with the hours as rows, so that it fits a phone. @param {{ map: HeatMapFigures, counts: number[][] }} props */
function HoursTable({ map, counts }) {
  const t = texts.value.heatMap;
  return html`
    <table class="hours-table">
      <caption class="sr-only">${t.caption(map.weeks)}</caption>
      <thead>
        <tr>
          <th scope="col">${t.hour}</th>
          ${map.days.map((day) => html`<th scope="col" class="figure"><abbr title=${t.days[day]}>${t.daysShort[day]}</abbr></th>`)}
        </tr>
      </thead>
      <tbody>
        ${HOURS.map(
          (hour) => html`<tr>
            <th scope="row">${t.hours(hour)}</th>
            ${counts.map((row) => html`<td class="figure">${formatCount(row[hour] ?? 0)}</td>`)}
          </tr>`,
        )}
      </tbody>
    </table>
  `;
}

/** The name of the day of a row. @param {Record<string, string>} names @param {HeatMapFigures} map @param {number} day */
const dayName = (names, map, day) => nameOf(names, map.days[day] ?? "");

/** @param {Record<string, string>} names @param {string} code */
const nameOf = (names, code) => names[code] ?? "";

/** The first cell with the most participants. @param {number[][]} counts @param {number} most @returns {Cell} */
function busiestCell(counts, most) {
  const day = Math.max(0, counts.findIndex((row) => row.includes(most)));
  return { day, hour: Math.max(0, counts[day]?.indexOf(most) ?? 0) };
}

/** 0 for nobody, then equal steps up to the busiest cell. @param {number} count @param {number} most */
const levelOf = (count, most) => Math.ceil((count / most) * LEVELS);

/** The cell under the pointer. @param {PointerEvent} event @returns {Cell | null} */
function cellAt(event) {
  const element = /** @type {HTMLElement | null} */ (document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-hour]") ?? null);
  return element ? { day: Number(element.dataset.day), hour: Number(element.dataset.hour) } : null;
}

/** The cell that an arrow key leads to; null for another key, and at the edge. @param {string} key @param {Cell} cell @returns {Cell | null} */
function cellByKey(key, { day, hour }) {
  const [days, hours] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -hour], End: [0, 23 - hour] }[key] ?? [];
  if (days === undefined || hours === undefined) return null;
  return { day: Math.min(6, Math.max(0, day + days)), hour: Math.min(23, Math.max(0, hour + hours)) };
}

/** What the user chooses in the chart: range, buckets, comparison and running total. All of it is in the URL. */
import { useEffect, useState } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { canMoveBack, defaultGranularity, defaultView, isComparable, offeredGranularities, offeredViews, rangeText } from "../chart-range.js";
import { useShortcut } from "../keyboard.js";
import { hrefWithAll, replaceRoute, route, texts } from "../state.js";

/** @typedef {import("../chart-range.js").RequestedChart} RequestedChart */
/** @typedef {import("../chart-range.js").Granularity} Granularity */
/** @typedef {import("../chart-range.js").View} View */
/** @typedef {import("../event-phase.js").EventDates} EventDates */

/** How long a note on a key that does nothing is shown. */
const NOTE_MS = 6_000;

/** The URL of the chart with another range, which has buckets of its own. @param {EventDates} event @param {View} view @param {Granularity} [granularity] */
const hrefOfView = (event, view, granularity = defaultGranularity(view, event)) =>
  hrefWithAll({ view: view === defaultView(event) ? null : view, offset: null, granularity: granularityInUrl(event, view, granularity) });

/** @param {EventDates} event @param {View} view @param {Granularity} granularity */
const granularityInUrl = (event, view, granularity) => (granularity === defaultGranularity(view, event) ? null : granularity);

/** The buckets that the user has chosen, where another range has them, too. @param {RequestedChart} chart @param {View} view @param {EventDates} event */
function keptGranularity({ granularity }, view, event) {
  const isChosen = granularity === route.value.query.get("granularity");
  return isChosen && offeredGranularities(view, event).includes(granularity) ? granularity : undefined;
}

/** The ranges to choose from. @param {{ chart: RequestedChart, event: EventDates }} props */
export function RangeChoice({ chart, event }) {
  const t = texts.value.chart;
  return html`
    <nav class="segments ranges" aria-label=${t.view}>
      ${offeredViews(event, chart.view).map(
        (view) => html`<a href=${hrefOfView(event, view, keptGranularity(chart, view, event))} data-replace aria-current=${view === chart.view ? "true" : undefined}>${t.views[view]}</a>`,
      )}
    </nav>
  `;
}

/** Moves by one range, never into the future. @param {{ chart: RequestedChart, event: EventDates, timeline: import("../api-types.js").Timeline | null }} props */
export function RangeSteps({ chart, event, timeline }) {
  const t = texts.value.chart;
  const earlier = canMoveBack(chart, event, timeline);
  const later = chart.offset < 0;
  const moveBy = (/** @type {number} */ step) => {
    if (step < 0 ? earlier : later) replaceRoute(hrefWithAll({ offset: chart.offset + step === 0 ? null : String(chart.offset + step) }));
  };
  useShortcut("ArrowLeft", () => moveBy(-1), "previousRange");
  useShortcut("ArrowRight", () => moveBy(1), "nextRange");
  return html`
    <div class="range-steps" role="group" aria-label=${t.view}>
      <${StepButton} name=${t.earlier} enabled=${earlier} sign="‹" onClick=${() => moveBy(-1)} />
      <span class="range-text">${rangeText(chart, event)}</span>
      <${StepButton} name=${t.later} enabled=${later} sign="›" onClick=${() => moveBy(1)} />
    </div>
  `;
}

/** Keeps the focus at the end of the ranges, so that the keyboard does not start again at the top. @param {{ name: string, enabled: boolean, sign: string, onClick: () => void }} props */
const StepButton = ({ name, enabled, sign, onClick }) => html`
  <button type="button" class="range-step" aria-label=${name} aria-disabled=${!enabled} onClick=${onClick}><span aria-hidden="true">${sign}</span></button>
`;

/** The buckets to choose from, and the switches. @param {{ chart: RequestedChart, event: EventDates, cumulative: boolean }} props */
export function ChartSwitches({ chart, event, cumulative }) {
  const t = texts.value.chart;
  const granularities = offeredGranularities(chart.view, event);
  const hrefOf = (/** @type {Granularity} */ granularity) => hrefWithAll({ granularity: granularityInUrl(event, chart.view, granularity) });
  const [refused, setRefused] = useState(/** @type {Granularity | null} */ (null));
  /** Show buckets, in the shortest range that has them where this one has not. @param {Granularity} granularity */
  const show = (granularity) => {
    const view = [chart.view, ...offeredViews(event, chart.view)].find((each) => offeredGranularities(each, event).includes(granularity));
    if (view) replaceRoute(view === chart.view ? hrefOf(granularity) : hrefOfView(event, view, granularity));
    setRefused(view ? null : granularity);
  };
  useEffect(() => setRefused(null), [route.value]);
  useEffect(() => {
    const timer = refused && setTimeout(() => setRefused(null), NOTE_MS);
    return () => clearTimeout(timer ?? undefined);
  }, [refused]);
  useShortcut("D", () => show("daily"), "day");
  useShortcut("W", () => show("weekly"), "week");
  useShortcut("M", () => show("monthly"), "month");
  return html`
    <div class="chart-switches">
      ${granularities.length > 1 &&
      html`<nav class="segments small" aria-label=${t.granularity}>
        ${granularities.map(
          (each) => html`<a href=${hrefOf(each)} data-replace aria-current=${each === chart.granularity ? "true" : undefined}>${t.granularities[each]}</a>`,
        )}
      </nav>`}
      ${isComparable(chart) && html`<${Switch} name="compare" text=${t.compare} on=${chart.compare} />`}
      <${Switch} name="cumulative" text=${t.cumulative} on=${cumulative} />
      <p class="key-note" role="status">${refused && t.tooShort(t.by[refused])}</p>
    </div>
  `;
}

/** A switch with a place in the URL. @param {{ name: string, text: string, on: boolean }} props */
const Switch = ({ name, text, on }) => html`
  <button type="button" class="switch" aria-pressed=${on} onClick=${() => replaceRoute(hrefWithAll({ [name]: on ? null : "1" }))}>${text}</button>
`;

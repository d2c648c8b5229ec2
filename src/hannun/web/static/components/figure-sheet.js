/**
 * The sheet that explains a figure: what it means, its formula in words and with the numbers that went in, its kind, as of
 * when it holds, and what a refund does to it. A tap on a number that went in explains that one.
 *
 *     <${Explained} path="summary.participationRate" dashboard=${dashboard}>2.2%<//>
 *
 * The page has one such sheet, outside of the views, so that a table of sixty figures does not need sixty sheets.
 */
import { Signal, signal } from "../vendor/signals.js";
import { useEffect, useId, useRef } from "../vendor/preact-hooks.js";
import { render } from "../vendor/preact.js";
import { html } from "../html.js";
import { channelOf, channelPathParts, definitionOf, formulaOf, isOperator, originOf, shareParts, valueOf } from "../figures.js";
import { formatCount, formatDateTime, formatMoney, formatMoneyExact, formatPercent, formatSignedChange, formatSignedPercent } from "../format.js";
import { isMissing } from "../provenance.js";
import { useLatest } from "../sharing.js";
import { lang, texts } from "../state.js";
import { KindBadge } from "./badge.js";
import { Sheet } from "./sheet.js";

/** @typedef {import("../figures.js").Answer} Answer */

const SHEET_ID = "figure-sheet";

/**
 * The figure that the sheet explains.
 * @typedef {object} Opened
 * @property {string} opener the id of the button that opened the sheet
 * @property {Element} button
 * @property {string[]} paths the figure's path, after those that led to it
 * @property {import("../vendor/signals.js").ReadonlySignal<Answer>} answer
 * @property {string} note
 */
const opened = signal(/** @type {Opened | null} */ (null));

/**
 * A button that explains a figure: its children, or an icon without any.
 * @param {object} props
 * @param {string} props.path of the figure, see figures.js
 * @param {Answer | import("../vendor/signals.js").ReadonlySignal<Answer>} props.dashboard the answer with the figure; as a signal it is read
 *   when the sheet is open, and no rendering is needed for a new one
 * @param {string} [props.name] of the figure, where the page calls it otherwise
 * @param {string} [props.note] what else there is to say of the figure where the button stands
 * @param {string} [props.class]
 * @param {import("../vendor/preact.js").ComponentChildren} [props.children]
 */
export function Explained({ path, dashboard, name, note = "", class: extraClass = "", children }) {
  const opener = useId();
  const wasOpen = useRef(false);
  // An open sheet shows the same numbers as the page, also after a change.
  const latest = useLatest(dashboard);
  const answer = dashboard instanceof Signal ? dashboard : /** @type {import("../vendor/signals.js").ReadonlySignal<Answer>} */ (latest);
  useEffect(() => () => closeSheetOf(opener), []);

  const isOpen = () => opened.peek()?.opener === opener;
  return html`
    <button
      type="button"
      class="${children ? "explained" : "info"} ${extraClass}"
      data-figure=${path}
      aria-haspopup="dialog"
      aria-label=${children ? null : texts.value.definitions.open(name ?? figureName(path, answer.value))}
      onPointerDown=${() => (wasOpen.current = isOpen())}
      onClick=${(/** @type {MouseEvent} */ event) => {
        const button = /** @type {Element} */ (event.currentTarget);
        // The press has closed the sheet already.
        if (!wasOpen.current) openSheet({ opener, button, paths: [path], answer, note });
        wasOpen.current = false;
      }}
    >
      ${children || html`<${InfoIcon} />`}
    </button>
  `;
}

export const InfoIcon = () => html`
  <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
    <circle cx="8" cy="8" r="6.5" fill="none" stroke="currentColor" stroke-width="1.25" />
    <path d="M8 7.25v3.75" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" />
    <circle cx="8" cy="4.9" r=".9" fill="currentColor" />
  </svg>
`;

const sheetElement = () => document.getElementById(SHEET_ID);

/** @param {Opened} figure */
function openSheet(figure) {
  if (!sheetElement()) render(html`<${FigureSheet} />`, document.body.appendChild(document.createElement("div")));
  opened.value = figure;
  // The sheet shows the figure in the next rendering, and is as high as its contents only then.
  requestAnimationFrame(() => {
    sheetElement()?.showPopover();
    focusHeading();
  });
}

/** Close the sheet of a button that is removed from the page. @param {string} opener */
function closeSheetOf(opener) {
  if (opened.peek()?.opener === opener) sheetElement()?.hidePopover();
}

const focusHeading = () => /** @type {HTMLElement | null} */ (sheetElement()?.querySelector(".figure-sheet"))?.focus();

/** Explain a number that went in, or go back from it. @param {string[]} paths */
function showPaths(paths) {
  const current = opened.peek();
  if (current) opened.value = { ...current, paths };
  requestAnimationFrame(focusHeading);
}

function FigureSheet() {
  const shown = opened.value;
  const dashboard = shown?.answer.value;
  const path = shown?.paths[shown.paths.length - 1];
  const handleToggle = (/** @type {boolean} */ isOpen) => {
    if (!isOpen) opened.value = null;
  };
  return html`
    <${Sheet} id=${SHEET_ID} name=${dashboard && path ? figureName(path, dashboard) : ""} heading="h2" button=${shown?.button} onToggle=${handleToggle}>
      ${dashboard && path && html`<${Explanation} path=${path} before=${shown.paths.slice(0, -1)} dashboard=${dashboard} note=${shown.note} />`}
    <//>
  `;
}

/** @param {{ path: string, before: string[], dashboard: Answer, note: string }} props `before` are the paths that led to this one */
function Explanation({ path, before, dashboard, note }) {
  const t = texts.value;
  const previous = before[before.length - 1];
  const origin = originOf(path, dashboard);
  return html`
    <div class="figure-sheet" tabindex="-1">
      <p>${meaningOf(path)}</p>
      <${Formula} path=${path} dashboard=${dashboard} />
      <${Inputs} path=${path} before=${before} dashboard=${dashboard} />
      ${origin &&
      html`<p class="sheet-kind">
        <${KindBadge} kind=${origin.kind} /> ${t.kindMeaning[origin.kind]} ${origin.asOf && html`<br /><span>${t.asOf(formatDateTime(origin.asOf))}</span>`}
      </p>`}
      <p class="sheet-refund"><strong>${t.figureSheet.refund}</strong> ${t.figureSheet.refunds[definitionOf(path).refund ?? "unchanged"]}</p>
      ${note && !previous && html`<p class="sheet-note">${note}</p>`}
      ${previous &&
      html`<button type="button" class="button quiet small sheet-back" onClick=${() => showPaths(before)}>
        <span aria-hidden="true">‹</span> ${t.figureSheet.back(figureName(previous, dashboard))}
      </button>`}
    </div>
  `;
}

/** The formula in words and with numbers; for a figure that is not computed its value. @param {{ path: string, dashboard: Answer }} props */
function Formula({ path, dashboard }) {
  const t = texts.value.figureSheet;
  const { roundedUp } = definitionOf(path);
  const terms = formulaOf(path, dashboard);
  const value = valueOf(path, dashboard);
  const ending = roundedUp ? `, ${t.roundedUp}` : "";
  const equation = equationOf(path, dashboard);
  return html`
    <div class="formula">
      ${terms.length > 0 && html`<p class="formula-words"><span class="sr-only">${t.formula}: </span>${isSumOfChannels(path) ? t.sumOfChannels : joinTerms(terms.map((term) => (isOperator(term) ? term : figureName(term, dashboard)))) + ending}</p>`}
      ${isMissing(value)
        ? html`<p class="formula-missing">${reasonMissing(path, dashboard)}</p>`
        : html`<p class="formula-numbers">${equation && html`<span>${equation}${ending}</span> <span aria-hidden="true">=</span> `}<strong>${formatFigure(path, value)}</strong></p>`}
      ${equation === null && terms.length > 0 && !isMissing(value) && definitionOf(path).wholeEvent && html`<p class="note">${t.wholeEvent}</p>`}
    </div>
  `;
}

/** The numbers that went into a figure, each with its own explanation. @param {{ path: string, before: string[], dashboard: Answer }} props */
function Inputs({ path, before, dashboard }) {
  const t = texts.value.figureSheet;
  const inputs = [...new Set(formulaOf(path, dashboard).filter((term) => !isOperator(term)))];
  if (inputs.length === 0) return null;
  return html`
    <h3 class="inputs-title">${t.inputs}</h3>
    <ul class="inputs">
      ${inputs.map((input) => {
        const value = valueOf(input, dashboard);
        const origin = originOf(input, dashboard);
        return html`<li key=${input}>
          <button type="button" class="input" onClick=${() => showPaths([...before, path, input])}>
            <span class="input-name">${isSumOfChannels(path) ? channelTitleOf(input, dashboard) : figureName(input, dashboard)}</span>
            <span class="input-value ${isMissing(value) ? "missing" : ""}">${isMissing(value) ? missingText(input) : formatFigure(input, value, true)}</span>
            ${origin && html`<${KindBadge} kind=${origin.kind} />`}
            <span class="input-more" aria-hidden="true">›</span>
          </button>
        </li>`;
      })}
    </ul>
  `;
}

/** Whether a figure is the sum of one figure of all channels, so that the channels' names are enough. @param {string} path */
function isSumOfChannels(path) {
  return ["totalParticipants", "totalViews", "totalReach", "totalClicks", "totalConversions"].some((name) => path === `summary.${name}`) || path === "roi.investment.channels" || path.startsWith("derived.clicked");
}

/** Whether a formula only adds up: then what is not known is not in the sum. @param {string[]} terms */
const isSum = (terms) => terms.every((term) => !isOperator(term) || term === "+");

/**
 * The formula with its numbers; null where it has none to show: nothing is computed, an input is not in the answer, or the
 * numbers of the whole event are not those of the chosen period.
 * @param {string} path
 * @param {Answer} dashboard
 */
function equationOf(path, dashboard) {
  const terms = formulaOf(path, dashboard);
  if (definitionOf(path).wholeEvent && (dashboard.period?.startDate || dashboard.period?.endDate)) return null;
  if (isSum(terms)) {
    const known = terms.filter((term) => !isOperator(term) && !isMissing(valueOf(term, dashboard)));
    return known.length > 1 ? known.map((term) => formatFigure(term, valueOf(term, dashboard) ?? 0, true)).join(" + ") : null;
  }
  const numbers = terms.map((term) => (isOperator(term) ? term : formatInput(term, dashboard)));
  return numbers.includes("") ? null : joinTerms(numbers);
}

/** @param {string} path @param {Answer} dashboard */
function formatInput(path, dashboard) {
  const value = valueOf(path, dashboard);
  if (!isMissing(value)) return formatFigure(path, value, true);
  // A reaction that no channel reports is none in the sum of all.
  return path.startsWith("summary.socialInteractions.") ? formatFigure(path, 0) : "";
}

/** Operators and names or numbers as one line. @param {string[]} terms */
const joinTerms = (terms) => terms.join(" ").replaceAll("( ", "(").replaceAll(" )", ")");

/** Why a figure has no value: which of its inputs is missing or 0. @param {string} path @param {Answer} dashboard */
function reasonMissing(path, dashboard) {
  const t = texts.value.figureSheet;
  const terms = formulaOf(path, dashboard);
  if (isSum(terms)) return missingText(path);
  const inputs = terms.filter((term) => !isOperator(term));
  const missing = inputs.find((input) => isMissing(valueOf(input, dashboard)));
  if (missing) return t.inputMissing(figureName(missing, dashboard));
  const zero = inputs.find((input) => (valueOf(input, dashboard) ?? 1) <= 0);
  return zero ? t.inputZero(figureName(zero, dashboard)) : missingText(path);
}

/** What stands in place of a value. @param {string} path */
function missingText(path) {
  const t = texts.value.figureSheet;
  if (path === "roi.revenue.recorded") return t.noSales;
  if (["people", "times", "conversions", "calls"].includes(definitionOf(path).unit)) return t.notMeasured;
  return /investment|revenue\.expected|targetRoi|distributionCost/.test(path) ? t.notSet : t.unknown;
}

/** @param {string} path @param {number} value @param {boolean} [exact] as an input of others */
export function formatFigure(path, value, exact = false) {
  const { unit } = definitionOf(path);
  if (unit === "won") return exact ? formatMoneyExact(value) : formatMoney(value);
  if (unit === "percent") return formatPercent(value);
  if (unit === "signedPercent") return formatSignedPercent(value);
  if (unit === "change") return formatSignedChange(value);
  return texts.value.figureSheet.units[unit](formatCount(value));
}

/** The name of a figure; with its channel, if it is one of a channel. @param {string} path @param {Answer} dashboard @returns {string} */
export function figureName(path, dashboard) {
  const t = texts.value.figureSheet;
  const share = shareParts(path);
  if (share) return t.share(figureName(share[0], dashboard), figureName(share[1], dashboard));
  const ofChannel = channelPathParts(path);
  if (!ofChannel) return textOf(t.names, path);
  return t.ofChannel(channelTitleOf(path, dashboard), textOf(t.names, `channel.${ofChannel.figure}`));
}

/** The title of the channel in a path; the name of the figure where it is of none. @param {string} path @param {Answer} dashboard */
function channelTitleOf(path, dashboard) {
  const ofChannel = channelPathParts(path);
  if (!ofChannel) return textOf(texts.value.figureSheet.names, path);
  return channelOf(path, dashboard)?.channelTitle[lang.value] ?? ofChannel.channelName;
}

/** @param {string} path */
function meaningOf(path) {
  const t = texts.value.figureSheet;
  if (shareParts(path)) return t.shareMeaning;
  const ofChannel = channelPathParts(path);
  return textOf(t.meanings, ofChannel ? `channel.${ofChannel.figure}` : path);
}

/** @param {Record<string, string>} group @param {string} key */
const textOf = (group, key) => group[key] ?? key;

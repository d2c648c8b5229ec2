/**
 * Return on investment as text and as a bar, the same in the list, for an event and over all events.
 *
 * Expected revenue is not money made: an ROI that is made of it is neither a gain nor a loss, and reaches no target.
 */
import { html } from "../html.js";
import { formatPercent, formatRoi, formatSignedPercent } from "../format.js";
import { isMissing } from "../provenance.js";
import { texts } from "../state.js";
import { AnimatedNumber } from "./number.js";

/** @typedef {import("../api-types.js").Figure} Figure */
/** What the revenue in an ROI is. @typedef {"recorded" | "mixed" | "expected"} RevenueBasis */

/**
 * What the revenue is. A sale and its full refund is a recorded revenue of 0.
 * @param {import("../api-types.js").Roi["revenue"]} revenue
 * @param {import("../api-types.js").Provenance | undefined} provenance
 * @returns {RevenueBasis}
 */
export function revenueBasis(revenue, provenance) {
  if (isMissing(revenue.recorded)) return "expected";
  return provenance?.["roi.revenue.total"]?.kind === "estimated" ? "mixed" : "recorded";
}

/** The ROI in words, in the colour of a gain or a loss only if it is made of recorded revenue. @param {{ roi: number, basis: RevenueBasis }} props */
export const RoiText = ({ roi, basis }) => html`
  <span class=${basis !== "recorded" || roi === 0 ? "" : roi < 0 ? "loss" : "gain"}><${AnimatedNumber} value=${roi} format=${ROI_FORMATS[basis]} /></span>
`;

const ROI_FORMATS = {
  recorded: formatRoi,
  mixed: formatSignedPercent,
  expected: (/** @type {number} */ roi) => texts.value.event.roiExpected(formatSignedPercent(roi)),
};

/** Which amount an ROI lacks: nobody has set it. Null where both are known. @param {import("../api-types.js").Roi} roi @returns {string | null} */
export function moneyMissingReason({ investment, revenue }) {
  const t = texts.value.missingReason;
  if (isMissing(investment.total)) return t.investment;
  return isMissing(revenue.total) ? t.revenue : null;
}

/** Why there is no ROI. @param {import("../api-types.js").Roi} roi */
export const missingRoiReason = (roi) => moneyMissingReason(roi) ?? texts.value.missingReason.roi;

/** @param {Figure} target in percent */
export const targetText = (target) => (isMissing(target) ? texts.value.event.noTarget : `${texts.value.tile.target} ${formatPercent(target)}`);

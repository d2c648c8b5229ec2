/**
 * The table of the page's figures: for each path in an answer its unit, its formula and what a refund does to it. Pure.
 *
 * A formula is a list of operators and of the paths of its inputs. The words and the numbers of a formula are both made of
 * it, so that they cannot differ. The inputs are looked up in the same answer as the figure.
 *
 * Paths are those of an answer (`roi.investment.total`), with the name of the channel in those of a channel
 * (`channelPerformance.Instagram.views`). Sums that an answer does not hold itself are under `derived`, and the share of one
 * figure in another is `share:PATH:PATH`.
 */
import { isMissing, measuredOrNull, provenanceOf } from "./provenance.js";

/** @typedef {import("./api-types.js").Figure} Figure */
/** @typedef {import("./api-types.js").FigureKind} FigureKind */
/** @typedef {import("./api-types.js").Channel} Channel */
/** @typedef {"people" | "times" | "conversions" | "calls" | "percent" | "signedPercent" | "change" | "won"} Unit */
/** What a refund does to a figure. @typedef {"unchanged" | "lowersRevenue" | "lowersRoi" | "raisesBreakEven" | "changesShare"} RefundEffect */

/**
 * An answer with figures, for example a dashboard, or the comparisons of the insights.
 * @typedef {object} Answer
 * @property {import("./api-types.js").Summary} [summary]
 * @property {import("./api-types.js").Insights["comparisons"]} [comparisons]
 * @property {import("./api-types.js").Roi | null} [roi]
 * @property {Channel[]} [channelPerformance]
 * @property {import("./api-types.js").Provenance} [provenance]
 * @property {import("./api-types.js").Period} [period]
 * @property {string | null} [lastUpdatedAt]
 */

/**
 * @typedef {object} Definition
 * @property {Unit} unit
 * @property {RefundEffect} [refund] "unchanged" if absent
 * @property {(answer: Answer, channel: Channel | null) => string[]} [formula] operators and paths
 * @property {boolean} [roundedUp]
 * @property {boolean} [wholeEvent] computed with counts of the whole event, also under a range
 */

const OPERATORS = new Set(["+", "−", "÷", "(", ")"]);

/** @param {string} term of a formula */
export const isOperator = (term) => OPERATORS.has(term);

/** @param {string[]} paths */
const sum = (paths) => paths.flatMap((path, index) => (index ? ["+", path] : [path]));

/** @param {string} part @param {string} whole */
const quotient = (part, whole) => () => [part, "÷", whole];

/** @param {string} now @param {string} before */
const change = (now, before) => () => ["(", now, "−", before, ")", "÷", before];

/** The paths of a figure of each channel. @param {string} figure @param {Answer} answer @param {(channel: Channel) => boolean} [selects] */
const ofChannels = (figure, { channelPerformance = [] }, selects = () => true) =>
  channelPerformance.filter(selects).map(({ channelName }) => channelPath(channelName, figure));

/** @param {string} figure @returns {(answer: Answer) => string[]} */
const sumOfChannels = (figure) => (answer) => sum(ofChannels(figure, answer));

/** Only these channels have clicks. @param {Channel} channel */
const isClicked = ({ channelType }) => channelType !== "VOICE";

/** @param {string} figure @returns {(answer: Answer) => string[]} */
const sumOfClicked = (figure) => (answer) => sum(ofChannels(figure, answer, isClicked));

/** @param {string} part @param {string} whole @returns {Definition["formula"]} */
const quotientOfChannel = (part, whole) => (_, channel) => [channelPath(channel?.channelName ?? "", part), "÷", channelPath(channel?.channelName ?? "", whole)];

/** @type {Record<string, Definition>} */
const DEFINITIONS = {
  // An answer without channels, as that of all events of a merchant, does not hold what its sums are made of.
  "summary.totalParticipants": { unit: "people", formula: (answer) => (answer.channelPerformance ? sum([...ofChannels("participants", answer), "summary.unattributedParticipants"]) : []) },
  "summary.unattributedParticipants": { unit: "people" },
  "summary.totalViews": { unit: "times", formula: sumOfChannels("views") },
  "summary.totalReach": { unit: "times", formula: sumOfChannels("impressions") },
  "summary.totalClicks": { unit: "times", formula: sumOfChannels("clicks") },
  "summary.totalConversions": { unit: "conversions", formula: sumOfChannels("conversions") },
  "summary.socialInteractions.likes": { unit: "times" },
  "summary.socialInteractions.comments": { unit: "times" },
  "summary.socialInteractions.shares": { unit: "times" },
  "summary.clickThroughRate": { unit: "percent", formula: quotient("summary.totalClicks", "summary.totalReach") },
  "summary.engagementRate": {
    unit: "percent",
    formula: () => [
      "(",
      ...sum(["summary.socialInteractions.likes", "summary.socialInteractions.comments", "summary.socialInteractions.shares", "summary.totalClicks"]),
      ")",
      "÷",
      "summary.totalReach",
    ],
  },
  "summary.participationRate": { unit: "percent", formula: quotient("summary.totalParticipants", "summary.totalViews") },
  "summary.conversionRate": { unit: "percent", formula: quotient("derived.clickedConversions", "derived.clickedClicks") },
  ...comparedFigure("totalParticipants", "people"),
  ...comparedFigure("totalViews", "times"),
  ...comparedFigure("totalConversions", "conversions"),
  ...comparedParticipants("day"),
  ...comparedParticipants("week"),
  "derived.clickedConversions": { unit: "conversions", formula: sumOfClicked("conversions") },
  "derived.clickedClicks": { unit: "times", formula: sumOfClicked("clicks") },
  "derived.assumedRevenue": { unit: "won", refund: "changesShare" },
  "roi.investment.total": { unit: "won", formula: () => sum(["roi.investment.planned", "roi.investment.channels"]) },
  "roi.investment.planned": { unit: "won" },
  "roi.investment.channels": { unit: "won", formula: sumOfChannels("distributionCost") },
  "roi.revenue.total": { unit: "won", refund: "lowersRevenue", formula: revenueFormula },
  "roi.revenue.recorded": { unit: "won", refund: "lowersRevenue" },
  "roi.revenue.expected": { unit: "won" },
  "roi.revenue.assumedShare": { unit: "percent", refund: "changesShare", formula: quotient("derived.assumedRevenue", "roi.revenue.total") },
  "roi.currentRoi": { unit: "signedPercent", refund: "lowersRoi", formula: change("roi.revenue.total", "roi.investment.total") },
  "roi.targetRoi": { unit: "percent" },
  "roi.estimatedRoi": { unit: "signedPercent", formula: change("roi.revenue.expected", "roi.investment.total") },
  "roi.costPerParticipant": { unit: "won", formula: quotient("roi.investment.total", "summary.totalParticipants"), wholeEvent: true },
  "roi.costPerView": { unit: "won", formula: quotient("roi.investment.total", "summary.totalViews"), wholeEvent: true },
  "roi.costPerConversion": { unit: "won", formula: quotient("roi.investment.total", "summary.totalConversions"), wholeEvent: true },
  "roi.breakEvenParticipants": {
    unit: "people",
    refund: "raisesBreakEven",
    formula: () => ["roi.investment.total", "÷", "(", "roi.revenue.total", "÷", "summary.totalParticipants", ")"],
    roundedUp: true,
    wholeEvent: true,
  },
};

/** @type {Record<string, Definition>} */
const CHANNEL_DEFINITIONS = {
  participants: { unit: "people" },
  views: { unit: "times" },
  expectedViews: { unit: "times" },
  impressions: { unit: "times" },
  clicks: { unit: "times" },
  conversions: { unit: "conversions" },
  totalCalls: { unit: "calls" },
  completedCalls: { unit: "calls" },
  clickThroughRate: { unit: "percent", formula: quotientOfChannel("clicks", "impressions") },
  participationRate: { unit: "percent", formula: quotientOfChannel("participants", "views") },
  conversionRate: {
    unit: "percent",
    formula: (answer, channel) => (channel && !isClicked(channel) ? quotientOfChannel("completedCalls", "totalCalls") : quotientOfChannel("conversions", "clicks"))?.(answer, channel) ?? [],
  },
  distributionCost: { unit: "won" },
  costPerParticipant: { unit: "won", formula: quotientOfChannel("distributionCost", "participants"), wholeEvent: true },
  costPerView: { unit: "won", formula: quotientOfChannel("distributionCost", "views"), wholeEvent: true },
  costPerConversion: { unit: "won", formula: quotientOfChannel("distributionCost", "conversions"), wholeEvent: true },
};

/**
 * A figure of a range beside that of the range before.
 * @param {"totalParticipants" | "totalViews" | "totalConversions"} figure
 * @param {Unit} unit
 * @returns {Record<string, Definition>}
 */
function comparedFigure(figure, unit) {
  const [now, before] = [`summary.${figure}`, `summary.previous.${figure}`];
  return { [before]: { unit }, [`summary.delta.${figure}`]: { unit: "change", formula: change(now, before) } };
}

/** The participants of the last day or week beside those before. @param {"day" | "week"} name @returns {Record<string, Definition>} */
function comparedParticipants(name) {
  const [now, before] = [`comparisons.${name}.participants`, `comparisons.${name}.previous.participants`];
  return { [now]: { unit: "people" }, [before]: { unit: "people" }, [`comparisons.${name}.delta`]: { unit: "change", formula: change(now, before) } };
}

/** Recorded sales where there are any, else what is expected; of several events each by itself. @param {Answer} answer */
function revenueFormula(answer) {
  const { recorded, total } = answer.roi?.revenue ?? {};
  if (isMissing(recorded)) return ["roi.revenue.expected"];
  return recorded === total ? ["roi.revenue.recorded"] : sum(["roi.revenue.recorded", "derived.assumedRevenue"]);
}

/** Of the figures of a channel those that the channel reports; the others are counted or planned by the service. */
const REPORTED = new Set(["views", "impressions", "clicks", "conversions", "totalCalls", "completedCalls"]);
/** Figures of a channel that are computed from what it reports. */
const COMPUTED_FROM_REPORTS = new Set(["clickThroughRate", "participationRate", "conversionRate", "costPerView", "costPerConversion"]);

const CHANNEL_PREFIX = "channelPerformance.";
const SHARE_PREFIX = "share:";

/** @param {string} channelName @param {string} figure */
export const channelPath = (channelName, figure) => `${CHANNEL_PREFIX}${channelName}.${figure}`;

/** @param {string} part @param {string} whole */
export const sharePath = (part, whole) => `${SHARE_PREFIX}${part}:${whole}`;

/** The name of the channel and of the figure in the path of a channel's figure; null for another path. @param {string} path */
export function channelPathParts(path) {
  if (!path.startsWith(CHANNEL_PREFIX)) return null;
  const end = path.lastIndexOf(".");
  return { channelName: path.slice(CHANNEL_PREFIX.length, end), figure: path.slice(end + 1) };
}

/** The two figures of a share; null for another path. @param {string} path @returns {[string, string] | null} */
export function shareParts(path) {
  if (!path.startsWith(SHARE_PREFIX)) return null;
  const [part = "", whole = ""] = path.slice(SHARE_PREFIX.length).split(":");
  return [part, whole];
}

/** The channel that a path names; null without one. @param {string} path @param {Answer} answer */
export function channelOf(path, { channelPerformance = [] }) {
  const name = channelPathParts(path)?.channelName;
  return channelPerformance.find(({ channelName }) => channelName === name) ?? null;
}

/** @param {string} path */
function findDefinition(path) {
  const ofChannel = channelPathParts(path);
  return ofChannel ? CHANNEL_DEFINITIONS[ofChannel.figure] : DEFINITIONS[path];
}

/** Whether a path is one of a figure of this table. @param {string} path */
export const isDefined = (path) => findDefinition(path) !== undefined;

/** @param {string} path @returns {Definition} */
export function definitionOf(path) {
  const share = shareParts(path);
  if (share) return { unit: "percent", formula: quotient(...share) };
  const found = findDefinition(path);
  if (!found) throw new Error(`figures.js defines no figure ${path}`);
  return found;
}

/** The operators and the paths of the inputs of a figure; empty for one that is not computed. @param {string} path @param {Answer} answer */
export const formulaOf = (path, answer) => definitionOf(path).formula?.(answer, channelOf(path, answer)) ?? [];

/** The value of a figure in an answer; null where it is not known. @param {string} path @param {Answer} answer @returns {Figure} */
export function valueOf(path, answer) {
  const share = shareParts(path);
  if (share) return percentOf(valueOf(share[0], answer), valueOf(share[1], answer));
  const ofChannel = channelPathParts(path);
  if (ofChannel) return valueOfChannel(channelOf(path, answer), ofChannel.figure);
  if (path === "derived.assumedRevenue") return assumedRevenue(answer);
  if (path.startsWith("derived.")) return sumOfKnown(formulaOf(path, answer), answer);
  const value = path.split(".").reduce((/** @type {any} */ part, name) => part?.[name], answer);
  return measuredOrNull(value, answer.provenance, path);
}

/** @param {Channel | null} channel @param {string} figure @returns {Figure} */
function valueOfChannel(channel, figure) {
  if (!channel || (REPORTED.has(figure) && !channel.measuredCounts.includes(figure))) return null;
  return /** @type {any} */ (channel)[figure];
}

/** @param {Figure} part @param {Figure} whole */
const percentOf = (part, whole) => (isMissing(part) || !whole ? null : (part / whole) * 100);

/** @param {string[]} terms @param {Answer} answer */
function sumOfKnown(terms, answer) {
  const known = terms.filter((term) => !isOperator(term)).flatMap((path) => valueOf(path, answer) ?? []);
  return known.length ? known.reduce((total, each) => total + each, 0) : null;
}

/** The part of the revenue that is expected and not recorded. @param {Answer} answer */
function assumedRevenue({ roi }) {
  const { recorded, expected, total } = roi?.revenue ?? {};
  if (isMissing(recorded)) return expected;
  return isMissing(total) ? null : total - recorded;
}

/** From the strongest to the weakest; a figure has the weakest kind of what it is made of. @type {FigureKind[]} */
const KINDS = ["measured", "stale", "planned", "estimated", "unknown"];

/** @typedef {{ kind: FigureKind, asOf?: string | null }} Origin */

/** The kind of a figure and as of when it holds; null where it is not known. @param {string} path @param {Answer} answer @returns {Origin | null} */
export function originOf(path, answer) {
  const value = valueOf(path, answer);
  if (isMissing(value)) return null;
  const ofChannel = channelPathParts(path);
  if (ofChannel) return originOfChannel(channelOf(path, answer), ofChannel.figure, answer);
  if (path === "derived.assumedRevenue") return { kind: "estimated", asOf: answer.lastUpdatedAt };
  if (!shareParts(path) && !path.startsWith("derived.")) return provenanceOf(value, answer.provenance, path);
  const origins = formulaOf(path, answer).flatMap((term) => (isOperator(term) ? [] : (originOf(term, answer) ?? [])));
  return origins.reduce((/** @type {Origin | null} */ found, each) => (found ? weaker(found, each) : each), null);
}

/** @param {Origin} one @param {Origin} other @returns {Origin} */
function weaker(one, other) {
  const [kind] = [one.kind, other.kind].sort((a, b) => KINDS.indexOf(b) - KINDS.indexOf(a));
  const asOf = [one.asOf, other.asOf].filter(Boolean).sort()[0] ?? null;
  return { kind: kind ?? one.kind, asOf };
}

/** @param {Channel | null} channel @param {string} figure @param {Answer} answer @returns {Origin | null} */
function originOfChannel(channel, figure, { provenance }) {
  if (channel && (REPORTED.has(figure) || COMPUTED_FROM_REPORTS.has(figure))) {
    return { kind: channel.state === "stale" ? "stale" : "measured", asOf: channel.measuredAt };
  }
  return provenance?.[`${CHANNEL_PREFIX}${figure}`] ?? null;
}

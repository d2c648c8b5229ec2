/**
 * The list of a merchant's events: search, status filter, sort, and the order while the figures change. Pure.
 */
import { phaseOf } from "./event-phase.js";

/** @typedef {import("./api-types.js").EventSummary} EventSummary */
/** @typedef {import("./api-types.js").Figure} Figure */
/** @typedef {typeof STATUSES[number]} Status */
/** @typedef {typeof SORTS[number]} Sort */
/** @typedef {{ text: string, status: Status, sort: Sort }} Selection */

export const STATUSES = /** @type {const} */ (["all", "running", "planned", "ended"]);
export const SORTS = /** @type {const} */ (["running", "newest", "participants", "today", "roi", "ending"]);

/** @param {URLSearchParams} query @returns {Selection} the first of each where the query names none that exists */
export function selectionIn(query) {
  return {
    text: query.get("q") ?? "",
    status: STATUSES.find((each) => each === query.get("status")) ?? STATUSES[0],
    sort: SORTS.find((each) => each === query.get("sort")) ?? SORTS[0],
  };
}

/** @param {EventSummary} event @param {number} nowMs @returns {Exclude<Status, "all">} */
export function statusOf(event, nowMs) {
  const phase = phaseOf(event, nowMs);
  if (phase === "upcoming") return "planned";
  return phase === "running" || phase === "overdue" ? "running" : "ended";
}

/**
 * The selected events, sorted. Those without the value that is sorted by come last; ties keep the order of the service,
 * the newest first.
 * @param {EventSummary[]} events @param {Selection} selection @param {number} nowMs
 */
export function selected(events, { text, status, sort }, nowMs) {
  const pattern = searchPattern(text);
  const found = events.filter(
    (event) => (status === "all" || statusOf(event, nowMs) === status) && (!pattern || pattern.test(event.eventTitle.normalize("NFC"))),
  );
  const value = SORT_VALUES[sort];
  if (!value) return found;
  return found.map((event) => ({ event, key: value(event, nowMs) ?? -Infinity })).sort((a, b) => (a.key === b.key ? 0 : b.key - a.key)).map(({ event }) => event);
}

/** What a merchant looks at first: what runs, then what will. */
const URGENCY = { running: 2, planned: 1, ended: 0 };

/** What is sorted by, the greatest first. @type {Record<Sort, null | ((event: EventSummary, nowMs: number) => Figure)>} */
const SORT_VALUES = {
  running: (event, nowMs) => URGENCY[statusOf(event, nowMs)],
  newest: null,
  participants: (event) => event.totalParticipants,
  today: (event) => event.participantsToday,
  roi: (event) => event.currentRoi,
  ending: (event, nowMs) => (event.endDate && statusOf(event, nowMs) === "running" ? -Date.parse(event.endDate) : null),
};

/**
 * The events in the order in which they are shown: as sorted, but while the user reads further down, each stays where it is,
 * and those that are new come last.
 * @param {EventSummary[]} sorted @param {string[] | null} shownIds the order until now; null to sort anew
 */
export function inShownOrder(sorted, shownIds) {
  if (!shownIds) return sorted;
  const places = new Map(shownIds.map((id, place) => [id, place]));
  const place = (/** @type {EventSummary} */ event) => places.get(event.eventId) ?? Infinity;
  return sorted.toSorted((a, b) => (place(a) === place(b) ? 0 : place(a) - place(b)));
}

// -- the search

const INITIALS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ";
const FIRST_SYLLABLE = 0xac00;
const LAST_SYLLABLE = 0xd7a3;
const SYLLABLES_OF_INITIAL = 588;
const SYLLABLES_OF_VOWEL = 28;

/**
 * What a title must contain, in any case; null for an empty text. A consonant of a Korean text stands for each syllable that begins
 * with it (ㅂㅁ finds 봄맞이). So does the last syllable while its final consonant is not typed yet.
 * @param {string} text
 */
export function searchPattern(text) {
  const characters = [...text.normalize("NFC").trim()];
  if (characters.length === 0) return null;
  return new RegExp(characters.map((character, index) => characterPattern(character, index === characters.length - 1)).join(""), "iu");
}

/** @param {string} character @param {boolean} isLast */
function characterPattern(character, isLast) {
  const initial = INITIALS.indexOf(character);
  if (initial >= 0) return `[${character}${syllables(FIRST_SYLLABLE + initial * SYLLABLES_OF_INITIAL, SYLLABLES_OF_INITIAL)}]`;
  const code = /** @type {number} */ (character.codePointAt(0));
  const isOpen = code >= FIRST_SYLLABLE && code <= LAST_SYLLABLE && (code - FIRST_SYLLABLE) % SYLLABLES_OF_VOWEL === 0;
  if (isLast && isOpen) return `[${syllables(code, SYLLABLES_OF_VOWEL)}]`;
  return character.replace(/[\\^$.*+?()[\]{}|/]/u, "\\$&");
}

/** @param {number} first @param {number} count */
const syllables = (first, count) => `${String.fromCodePoint(first)}-${String.fromCodePoint(first + count - 1)}`;

// -- the day

/**
 * How the participants of today compare with those of yesterday up to the same time: the difference, and in percent where yesterday has
 * enough to divide by. Null where either is not known.
 * @param {{ today: Figure, yesterday: Figure }} days
 */
export function dayChange({ today, yesterday }) {
  if (typeof today !== "number" || typeof yesterday !== "number") return null;
  const difference = today - yesterday;
  return { difference, percent: yesterday >= PERCENT_BASE_MIN ? (difference / yesterday) * 100 : null };
}

/** Below this many participants a percentage says more than is known: one more of three is not "a third more". */
const PERCENT_BASE_MIN = 20;

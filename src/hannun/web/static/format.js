/** Formatting of numbers, money and times. Pure, except that the functions read the current language and time zone. */
import { formatterOf } from "./formatters.js";
import { lang, texts, timeZone } from "./state.js";

const MINUS = "−";
/** Keeps an amount of money on one line. */
const NO_BREAK = "\u00a0";
/** Korean units of large numbers: 만 (man), 억 (eok) and 조 (jo). */
const MAN = 10_000;
const EOK = 100_000_000;
const JO = 1_000_000_000_000;

/** The formatters of numbers by locale and decimals: they are used hundreds of times in one rendering. @type {Map<string, Intl.NumberFormat>} */
const numberFormats = new Map();

const locale = () => (lang.value === "ko" ? "ko-KR" : "en-US");

/** @param {number} value @param {number} [decimals] */
function formatNumber(value, decimals = 0) {
  const key = `${locale()} ${decimals}`;
  let format = numberFormats.get(key);
  if (!format) numberFormats.set(key, (format = formatterOf(Intl.NumberFormat, locale(), { maximumFractionDigits: decimals, signDisplay: "negative" }))); // never −0
  return format.format(value).replace("-", MINUS);
}

/** @param {number} value @param {number} [decimals] at most */
export const formatCount = (value, decimals = 0) => formatNumber(value, decimals);

/** @param {number} value in percent */
export const formatPercent = (value) => `${formatNumber(value, 2)}%`;

/** A percentage with its sign, also when it is positive. @param {number} value in percent */
export const formatSignedPercent = (value) => (Math.round(value * 100) > 0 ? "+" : "") + formatPercent(value);

/** By how much a figure has changed, without its direction: one decimal at most. A change that would round to 0 is named by its limit. @param {number} value in percent */
export function formatChange(value) {
  const size = Math.abs(value);
  return size > 0 && size < 0.05 ? texts.value.belowTenthPercent : `${formatNumber(size, 1)}%`;
}

/** A change with its sign. @param {number} value in percent */
export const formatSignedChange = (value) => (value > 0 ? "+" : value < 0 ? MINUS : "") + formatChange(value);

/** "12.5% gain", "30% loss" or "break-even". @param {number} roi in percent */
export function formatRoi(roi) {
  const t = texts.value.event;
  if (roi === 0) return t.breakEven;
  return roi < 0 ? t.loss(formatPercent(-roi)) : t.gain(formatPercent(roi));
}

/** Money without decimals. An amount that would round to 0 is named by its limit: it is not nothing. @param {number} value won */
export const formatMoney = (value) => (value > 0 && value < 0.5 ? texts.value.belowOneWon : withWon(formatNumber(value)));

/** @param {string} digits a formatted amount */
function withWon(digits) {
  if (lang.value === "ko") return `${digits}원`;
  return digits.startsWith(MINUS) ? `${MINUS}₩${digits.slice(1)}` : `₩${digits}`;
}

/** Money with all of its decimals, for an amount that others are computed from. @param {number} value won */
export const formatMoneyExact = (value) => withWon(formatNumber(value, 2));

/** Money as spoken in Korean: 1,234만원, 1억 2,345만원, 1조 2,371억원. For narrow screens, next to the full amount. @param {number} value won */
export function formatMoneyShort(value) {
  const size = Math.abs(value);
  const sign = value < 0 ? MINUS : "";
  if (lang.value !== "ko") {
    if (size < 100_000) return formatMoney(value);
    const short = formatterOf(Intl.NumberFormat, "en-US", { notation: "compact", maximumFractionDigits: 2 }).format(size);
    return `${sign}₩${short}`;
  }
  if (size < 10 * MAN) return formatMoney(value);
  // Round only once, in units of 만, so that 99,999,999 becomes 1억 and not 10,000만.
  const man = size < 1000 * MAN ? Math.round(size / (MAN / 10)) / 10 : Math.round(size / MAN);
  if (man < MAN) return `${sign}${formatNumber(man, 1)}만원`;
  if (man < 100 * MAN) return `${sign}${twoUnits(man, "억", "만")}원`;
  const eok = Math.round(size / EOK);
  if (eok < MAN) return `${sign}${formatNumber(eok)}억원`;
  return `${sign}${size < 100 * JO ? twoUnits(eok, "조", "억") : `${formatNumber(Math.round(size / JO))}조`}원`;
}

/** An amount in units of which 10,000 make a larger one: 1억 2,345만. @param {number} amount @param {string} larger @param {string} smaller */
function twoUnits(amount, larger, smaller) {
  const rest = amount % MAN;
  return `${formatNumber(Math.floor(amount / MAN))}${larger}${rest ? `${NO_BREAK}${formatNumber(rest)}${smaller}` : ""}`;
}

/** @param {string | number} instant @param {Intl.DateTimeFormatOptions} options */
function formatInstant(instant, options) {
  return formatterOf(Intl.DateTimeFormat, locale(), { timeZone: timeZone.value, ...options }).format(new Date(instant));
}

/** @param {string | number} instant */
export const formatDateTime = (instant) =>
  formatInstant(instant, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** @param {string | number} instant */
export const formatTime = (instant) => formatInstant(instant, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/** @param {string | number} instant */
export const formatTimeWithSeconds = (instant) => formatInstant(instant, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** A time that has passed, in its largest unit: "12 seconds", "3 hours". @param {number} seconds */
export function formatDuration(seconds) {
  const [unit, size] = seconds < 60 ? ["second", 1] : seconds < 3600 ? ["minute", 60] : seconds < 2 * 86_400 ? ["hour", 3600] : ["day", 86_400];
  return formatterOf(Intl.NumberFormat, locale(), { style: "unit", unit, unitDisplay: "long" }).format(Math.floor(seconds / Number(size)));
}

/** @param {number} bytes */
export function formatBytes(bytes) {
  const size = Math.min(3, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  return `${formatNumber(bytes / 1000 ** size, size ? 1 : 0)}${NO_BREAK}${["B", "kB", "MB", "GB"][size]}`;
}

/** @param {string | number} instant */
export const formatDate = (instant) => formatInstant(instant, { month: "short", day: "numeric" });

/** The shortest form of a date: 11/23. @param {string | number} instant */
export const formatMonthDay = (instant) => (formatInstant(instant, { month: "numeric", day: "numeric" }).match(/\d+/g) ?? []).join("/");

/** @param {string | number} instant */
export const formatDateWithYear = (instant) => formatInstant(instant, { year: "numeric", month: "short", day: "numeric" });

/** @param {string | number} instant */
const formatMonth = (instant) => formatInstant(instant, { year: "numeric", month: "short" });

/** @param {string | number} instant */
export const formatYear = (instant) => formatInstant(instant, { year: "numeric" });

/** @param {string | number} instant */
export const formatDateWithTime = (instant) => `${formatDateWithYear(instant)} ${formatTime(instant)}`;

/** A recent instant: only the time if it was today, else date and time. @param {string} instant @param {number} nowMs */
export const formatRecentTime = (instant, nowMs) =>
  formatDateWithYear(instant) === formatDateWithYear(nowMs) ? formatTime(instant) : `${formatDate(instant)} ${formatTime(instant)}`;

/** The label of a timeline bucket. @param {string} instant @param {string} granularity */
export function formatBucket(instant, granularity) {
  if (granularity === "minute") return formatTime(instant);
  if (granularity === "hourly") {
    const hour = lang.value === "ko" ? `${Number(formatInstant(instant, { hour: "2-digit", hourCycle: "h23" }).replace(/\D/g, ""))}시` : formatTime(instant);
    return `${formatDate(instant)} ${hour}`;
  }
  if (granularity === "weekly") return texts.value.chart.weekOf(formatDate(instant));
  if (granularity === "monthly") return formatMonth(instant);
  return formatDate(instant);
}

/** "10 seconds ago", in steps of 10 s, so that the text does not change constantly. @param {string} instant @param {number} nowMs */
export function formatRelativeTime(instant, nowMs) {
  // The server's clock may be ahead of the browser's: never show a time in the future.
  const seconds = Math.max(0, (nowMs - Date.parse(instant)) / 1000);
  if (seconds < 10) return texts.value.live.justNow;
  const relative = formatterOf(Intl.RelativeTimeFormat, locale(), { numeric: "always" });
  if (seconds < 60) return relative.format(-Math.floor(seconds / 10) * 10, "second");
  if (seconds < 3600) return relative.format(-Math.floor(seconds / 60), "minute");
  if (seconds < 86_400) return relative.format(-Math.floor(seconds / 3600), "hour");
  return relative.format(-Math.floor(seconds / 86_400), "day");
}

/** Formatting of numbers, money and times. Pure, except that the functions read the current language and time zone. */
import { lang, texts, timeZone } from "./state.js";

const MINUS = "−";
/** Keeps an amount of money on one line. */
const NO_BREAK = "\u00a0";
/** Korean units of large numbers: 만 (man) and 억 (eok). */
const MAN = 10_000;
const EOK = 100_000_000;

const locale = () => (lang.value === "ko" ? "ko-KR" : "en-US");

/** @type {Map<string, Intl.NumberFormat>} */
const numberFormats = new Map();

/** @param {number} value @param {number} [decimals] */
function formatNumber(value, decimals = 0) {
  const key = `${locale()} ${decimals}`;
  let format = numberFormats.get(key);
  if (!format) numberFormats.set(key, (format = new Intl.NumberFormat(locale(), { maximumFractionDigits: decimals })));
  return format.format(value).replace("-", MINUS);
}

/** @param {number} value @param {number} [decimals] at most */
export const formatCount = (value, decimals = 0) => formatNumber(value, decimals);

/** @param {number} value in percent */
export const formatPercent = (value) => `${formatNumber(value, 2)}%`;

/** A percentage with its sign, also when it is positive. @param {number} value in percent */
export const formatSignedPercent = (value) => (value > 0 ? "+" : "") + formatPercent(value);

/** "12.5% gain", "30% loss" or "break-even". @param {number} roi in percent */
export function formatRoi(roi) {
  const t = texts.value.event;
  if (roi === 0) return t.breakEven;
  return roi < 0 ? t.loss(formatPercent(-roi)) : t.gain(formatPercent(roi));
}

/** @param {number} value won */
export function formatMoney(value) {
  const digits = formatNumber(value, Math.abs(value) < 1000 ? 2 : 0);
  return lang.value === "ko" ? `${digits}원` : digits.startsWith(MINUS) ? `${MINUS}₩${digits.slice(1)}` : `₩${digits}`;
}

/** Money as spoken in Korean: 1,234만 원, 1억 2,345만 원. For narrow screens, next to the full amount. @param {number} value won */
export function formatMoneyShort(value) {
  const size = Math.abs(value);
  const sign = value < 0 ? MINUS : "";
  if (lang.value !== "ko") {
    if (size < 100_000) return formatMoney(value);
    const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 2 }).format(size);
    return `${sign}₩${short}`;
  }
  if (size < 10 * MAN) return formatMoney(value);
  // Round only once, in units of 만, so that 99,999,999 becomes 1억 and not 10,000만.
  const man = size < 1000 * MAN ? Math.round(size / (MAN / 10)) / 10 : Math.round(size / MAN);
  if (man < MAN) return `${sign}${formatNumber(man, 1)}만${NO_BREAK}원`;
  const eok = Math.floor(man / MAN);
  const rest = man % MAN;
  return `${sign}${formatNumber(eok)}억${rest && size < 100 * EOK ? `${NO_BREAK}${formatNumber(rest)}만` : ""}${NO_BREAK}원`;
}

/** @type {Map<string, Intl.DateTimeFormat>} */
const timeFormats = new Map();

/** @param {string | number} instant @param {Intl.DateTimeFormatOptions} options */
function formatInstant(instant, options) {
  const key = `${locale()} ${timeZone.value} ${JSON.stringify(options)}`;
  let format = timeFormats.get(key);
  if (!format) timeFormats.set(key, (format = new Intl.DateTimeFormat(locale(), { timeZone: timeZone.value, ...options })));
  return format.format(new Date(instant));
}

/** @param {string | number} instant */
export const formatDateTime = (instant) =>
  formatInstant(instant, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** @param {string | number} instant */
export const formatTime = (instant) => formatInstant(instant, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/** @param {string | number} instant */
export const formatDate = (instant) => formatInstant(instant, { month: "short", day: "numeric" });

/** The shortest form of a date: 11/23. @param {string | number} instant */
export const formatMonthDay = (instant) => (formatInstant(instant, { month: "numeric", day: "numeric" }).match(/\d+/g) ?? []).join("/");

/** @param {string | number} instant */
export const formatDateWithYear = (instant) => formatInstant(instant, { year: "numeric", month: "short", day: "numeric" });

/** @param {string | number} instant */
export const formatYear = (instant) => formatInstant(instant, { year: "numeric" });

/** @param {string | number} instant */
export const formatDateWithTime = (instant) => `${formatDateWithYear(instant)} ${formatTime(instant)}`;

/** A recent instant: only the time if it was today, else date and time. @param {string} instant @param {number} nowMs */
export const formatRecentTime = (instant, nowMs) =>
  formatDate(instant) === formatDate(nowMs) ? formatTime(instant) : `${formatDate(instant)} ${formatTime(instant)}`;

/** The label of a timeline bucket. @param {string} instant @param {string} granularity */
export function formatBucket(instant, granularity) {
  if (granularity === "minute") return formatTime(instant);
  if (granularity === "hourly") {
    const hour = lang.value === "ko" ? `${Number(formatInstant(instant, { hour: "2-digit", hourCycle: "h23" }).replace(/\D/g, ""))}시` : formatTime(instant);
    return `${formatDate(instant)} ${hour}`;
  }
  return formatDate(instant);
}

/** "10 seconds ago", in steps of 10 s, so that the text does not change constantly. @param {string} instant @param {number} nowMs */
export function formatRelativeTime(instant, nowMs) {
  // The server's clock may be ahead of the browser's: never show a time in the future.
  const seconds = Math.max(0, (nowMs - Date.parse(instant)) / 1000);
  if (seconds < 10) return texts.value.live.justNow;
  const relative = new Intl.RelativeTimeFormat(locale(), { numeric: "always" });
  if (seconds < 60) return relative.format(-Math.floor(seconds / 10) * 10, "second");
  if (seconds < 3600) return relative.format(-Math.floor(seconds / 60), "minute");
  if (seconds < 86_400) return relative.format(-Math.floor(seconds / 3600), "hour");
  return relative.format(-Math.floor(seconds / 86_400), "day");
}

/** Numbers, money and times as words. Pure but for the language and zone they read. */
import { lang, words, zone } from "./state.js";

const MINUS = "−";
/** A sum of money stays on one line. */
const NO_BREAK = "\u00a0";
const MAN = 10_000;
const EOK = 100_000_000;

const locale = () => (lang.value === "ko" ? "ko-KR" : "en-US");

/** @type {Map<string, Intl.NumberFormat>} */
const numberFormats = new Map();

/** @param {number} value @param {number} [decimals] */
function number(value, decimals = 0) {
  const key = `${locale()} ${decimals}`;
  let format = numberFormats.get(key);
  if (!format) numberFormats.set(key, (format = new Intl.NumberFormat(locale(), { maximumFractionDigits: decimals })));
  return format.format(value).replace("-", MINUS);
}

/** @param {number} value @param {number} [decimals] at most */
export const count = (value, decimals = 0) => number(value, decimals);

/** @param {number} value in percent */
export const percent = (value) => `${number(value, 2)}%`;

/** With its sign, since the sign is the message. @param {number} value in percent */
export const signedPercent = (value) => (value > 0 ? "+" : "") + percent(value);

/** @param {number} value won */
export function money(value) {
  const digits = number(value, Math.abs(value) < 1000 ? 2 : 0);
  return lang.value === "ko" ? `${digits}원` : digits.startsWith(MINUS) ? `${MINUS}₩${digits.slice(1)}` : `₩${digits}`;
}

/** As one says it: 1,234만 원, 1억 2,345만 원. For narrow places, beside the full figure. @param {number} value won */
export function moneyShort(value) {
  const size = Math.abs(value);
  const sign = value < 0 ? MINUS : "";
  if (lang.value !== "ko") {
    if (size < 100_000) return money(value);
    const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 2 }).format(size);
    return `${sign}₩${short}`;
  }
  if (size < 10 * MAN) return money(value);
  // Rounded once, in 만, so that 99,999,999 becomes 1억 and not 10,000만.
  const man = size < 1000 * MAN ? Math.round(size / (MAN / 10)) / 10 : Math.round(size / MAN);
  if (man < MAN) return `${sign}${number(man, 1)}만${NO_BREAK}원`;
  const eok = Math.floor(man / MAN);
  const rest = man % MAN;
  return `${sign}${number(eok)}억${rest && size < 100 * EOK ? `${NO_BREAK}${number(rest)}만` : ""}${NO_BREAK}원`;
}

/** @type {Map<string, Intl.DateTimeFormat>} */
const timeFormats = new Map();

/** @param {string | number} instant @param {Intl.DateTimeFormatOptions} options */
function time(instant, options) {
  const key = `${locale()} ${zone.value} ${JSON.stringify(options)}`;
  let format = timeFormats.get(key);
  if (!format) timeFormats.set(key, (format = new Intl.DateTimeFormat(locale(), { timeZone: zone.value, ...options })));
  return format.format(new Date(instant));
}

/** @param {string | number} instant */
export const dateAndTime = (instant) =>
  time(instant, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** @param {string | number} instant */
export const clock = (instant) => time(instant, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/** @param {string | number} instant */
export const date = (instant) => time(instant, { month: "short", day: "numeric" });

/** As narrow as a date can be: 11/23. @param {string | number} instant */
export const dayOfMonth = (instant) => (time(instant, { month: "numeric", day: "numeric" }).match(/\d+/g) ?? []).join("/");

/** @param {string | number} instant */
export const dateWithYear = (instant) => time(instant, { year: "numeric", month: "short", day: "numeric" });

/** A moment of the recent past, short: the time alone if it was today. @param {string} instant @param {number} nowMs */
export const moment = (instant, nowMs) =>
  date(instant) === date(nowMs) ? clock(instant) : `${date(instant)} ${clock(instant)}`;

/** The name of a timeline's bucket. @param {string} instant @param {string} granularity */
export function bucket(instant, granularity) {
  if (granularity === "minute") return clock(instant);
  if (granularity === "hourly") {
    const hour = lang.value === "ko" ? `${Number(time(instant, { hour: "2-digit", hourCycle: "h23" }).replace(/\D/g, ""))}시` : clock(instant);
    return `${date(instant)} ${hour}`;
  }
  return date(instant);
}

/** "12 seconds ago", in steps that do not fidget. @param {string} instant @param {number} nowMs */
export function ago(instant, nowMs) {
  // A server's clock a moment ahead of ours must not speak of the future.
  const seconds = Math.max(0, (nowMs - Date.parse(instant)) / 1000);
  if (seconds < 10) return words.value.live.justNow;
  const relative = new Intl.RelativeTimeFormat(locale(), { numeric: "always" });
  if (seconds < 60) return relative.format(-Math.floor(seconds / 10) * 10, "second");
  if (seconds < 3600) return relative.format(-Math.floor(seconds / 60), "minute");
  if (seconds < 86_400) return relative.format(-Math.floor(seconds / 3600), "hour");
  return relative.format(-Math.floor(seconds / 86_400), "day");
}

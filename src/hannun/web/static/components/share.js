/** Share links of an event: a form that makes one, the address of the newest, and a list in which each can be revoked. */
import { useMemo, useRef } from "../vendor/preact-hooks.js";
import { batch, signal } from "../vendor/signals.js";
import { html } from "../html.js";
import { createShareLink, fetchShareLinks, Problem, revokeShareLink } from "../api.js";
import { canSend, copyText, sendToApp } from "../clipboard.js";
import { formatCount, formatDateWithTime, formatDateWithYear } from "../format.js";
import { formatterOf } from "../formatters.js";
import { now, session, texts, timeZone } from "../state.js";
import { BusyButton } from "./busy-button.js";
import { Sheet } from "./sheet.js";

/** @typedef {import("../api-types.js").ShareLink} ShareLink */
/** @typedef {"end" | "date" | number} Until how long: to the event's end, to a date, or a number of days */
/** What the line below the form says; `failed` for a problem. @typedef {{ text: string, failed?: boolean }} Notice */

const DAY_MS = 86_400_000;
const DAYS = [1, 7, 30];
const DAYS_DEFAULT = 7;
const DAYS_MAX = 366;
const LABEL_LENGTH_MAX = 100;

/** The state of one event's links. */
const newLinks = () => ({
  list: signal(/** @type {ShareLink[] | null} */ (null)),
  failed: signal(false),
  busy: signal(false),
  until: signal(/** @type {Until} */ (DAYS_DEFAULT)),
  address: signal(""),
  notice: signal(/** @type {Notice | null} */ (null)),
  asked: signal(/** @type {string | null} */ (null)),
  /** The heading of the list: it takes the focus from a row that goes. */
  heading: { current: /** @type {HTMLElement | null} */ (null) },
});
/** @typedef {ReturnType<typeof newLinks>} Links */

/** @param {{ id: string, event: { eventId: string, eventTitle: string, endDate?: string | null } }} props `id` is what a button's `popovertarget` names */
export function SharePanel({ id, event }) {
  const links = useMemo(newLinks, [event.eventId]);
  const t = texts.value.share;
  const load = async () => {
    links.failed.value = false;
    try {
      links.list.value = await fetchShareLinks(event.eventId);
    } catch {
      links.failed.value = true;
    }
  };
  const opened = (/** @type {boolean} */ isOpen) => {
    if (isOpen) load();
    else batch(() => ((links.notice.value = null), (links.asked.value = null), (links.address.value = ""))); // a secret is not left on the screen
  };
  return html`
    <${Sheet} id=${id} name=${t.title} heading="h2" onToggle=${opened}>
      <div class="share">
        <p class="note">${t.lead}</p>
        <${NewLinkForm} links=${links} event=${event} load=${load} />
        <${NewAddress} links=${links} title=${event.eventTitle} />
        <p class=${`share-notice${links.notice.value?.failed ? " failed" : ""}`} role="status">${links.notice.value?.text}</p>
        <${LinkList} links=${links} event=${event} load=${load} />
      </div>
    <//>
  `;
}

/** @param {{ links: Links, event: { eventId: string, endDate?: string | null }, load: () => Promise<void> }} props */
function NewLinkForm({ links, event, load }) {
  const t = texts.value.share;
  const untilEnd = endWithinReach(event.endDate);
  const choices = /** @type {[Until, string][]} */ ([...DAYS.map((days) => [days, t.days(formatCount(days))]), ...(untilEnd ? [["end", t.untilEnd]] : []), ["date", t.untilDate]]);

  const submit = async (/** @type {SubmitEvent} */ submitted) => {
    submitted.preventDefault();
    const form = /** @type {HTMLFormElement} */ (submitted.currentTarget);
    const fields = new FormData(form);
    const until = untilInstant(links.until.value, String(fields.get("date") ?? ""), untilEnd);
    if (!until) {
      links.notice.value = { text: t.badDate, failed: true };
      return /** @type {HTMLInputElement | null} */ (form.elements.namedItem("date"))?.focus();
    }
    links.busy.value = true;
    links.notice.value = { text: t.creating };
    try {
      const made = await createShareLink(event.eventId, { until, label: String(fields.get("label")).trim() });
      const address = location.origin + made.address;
      links.address.value = address;
      const copied = await copyText(address);
      links.notice.value = { text: copied ? t.createdCopied : t.created };
      form.reset();
      await load();
    } catch (problem) {
      links.notice.value = { text: problemText(problem), failed: true };
    }
    links.busy.value = false;
  };

  return html`
    <form class="share-form" onSubmit=${submit} novalidate>
      <label>
        <span>${t.label}</span>
        <input name="label" type="text" maxlength=${LABEL_LENGTH_MAX} placeholder=${t.labelHint} autocomplete="off" />
      </label>
      <fieldset>
        <legend>${t.until}</legend>
        <div class="choices">
          ${choices.map(
            ([until, name]) => html`
              <label class="choice">
                <input type="radio" name="until" value=${until} checked=${links.until.value === until} onChange=${() => (links.until.value = until)} />
                <span>${name}</span>
              </label>
            `,
          )}
        </div>
      </fieldset>
      ${links.until.value === "date" &&
      html`
        <label>
          <span>${t.date}</span>
          <input name="date" type="date" required min=${dayText(now.value + DAY_MS)} max=${dayText(now.value + (DAYS_MAX - 1) * DAY_MS)} />
        </label>
      `}
      <${BusyButton} type="submit" class="button primary" busy=${links.busy.value}>${t.create}<//>
    </form>
  `;
}

/** The address of the link that was just made: nobody can see it again. @param {{ links: Links, title: string }} props */
function NewAddress({ links, title }) {
  const t = texts.value.share;
  const address = links.address.value;
  if (!address) return null;
  const copy = async () => (links.notice.value = (await copyText(address)) ? { text: t.copied } : { text: t.copyFailed, failed: true });
  return html`
    <div class="share-address">
      <input type="text" readonly value=${address} aria-label=${t.address} onFocus=${(/** @type {FocusEvent} */ event) => /** @type {HTMLInputElement} */ (event.target).select()} />
      <div class="share-actions">
        <button type="button" class="button" onClick=${copy}>${t.copy}</button>
        ${canSend() && html`<button type="button" class="button" onClick=${() => sendToApp({ title, url: address })}>${t.send}</button>`}
      </div>
      <p class="note">${t.onlyNow}</p>
    </div>
  `;
}

/** @param {{ links: Links, event: { eventId: string }, load: () => Promise<void> }} props */
function LinkList({ links, event, load }) {
  const t = texts.value.share;
  const list = links.list.value;
  if (links.failed.value && !list) {
    return html`<p class="share-notice failed" role="alert">${t.network}</p><button type="button" class="button small" onClick=${load}>${t.retry}</button>`;
  }
  if (!list) return html`<p class="note">${t.loading}</p>`;
  const active = list.filter(isActive);
  const ended = list.filter((link) => !isActive(link));
  const rows = (/** @type {ShareLink[]} */ some) =>
    html`<ul class="share-links">
      ${some.map((link) => html`<${LinkRow} key=${link.shareId} link=${link} links=${links} event=${event} load=${load} />`)}
    </ul>`;
  return html`
    <h3 ref=${links.heading} tabindex="-1">${t.links}</h3>
    ${active.length === 0 && html`<p class="note">${t.noLinks}</p>`} ${rows(active)}
    ${ended.length > 0 && html`<details class="share-ended"><summary>${t.olderHidden(formatCount(ended.length))}</summary>${rows(ended)}</details>`}
  `;
}

/** @param {{ link: ShareLink, links: Links, event: { eventId: string }, load: () => Promise<void> }} props */
function LinkRow({ link, links, event, load }) {
  const t = texts.value.share;
  const name = link.label || t.unnamed;
  const asked = links.asked.value === link.shareId;
  const button = useRef(/** @type {HTMLElement | null} */ (null));
  const close = () => {
    button.current?.focus();
    links.asked.value = null;
  };
  const revoke = async () => {
    links.busy.value = true;
    try {
      await revokeShareLink(event.eventId, link.shareId);
      batch(() => ((links.notice.value = { text: t.revokedNow }), (links.address.value = ""), (links.asked.value = null)));
      links.heading.current?.focus();
      await load();
    } catch (problem) {
      links.notice.value = { text: problemText(problem), failed: true };
      close();
    }
    links.busy.value = false;
  };
  const maker = link.createdBy === session.value?.userId ? t.me : t.by(link.createdBy);
  return html`
    <li>
      <div class="share-link">
        <p>
          <strong>${name}</strong>
          <span class="note">${stateText(link)}</span>
          <span class="note">${t.made(formatDateWithYear(link.createdAt), maker)}</span>
        </p>
        ${isActive(link) &&
        html`<button
          ref=${button}
          type="button"
          class="button small"
          aria-label=${t.revokeNamed(name)}
          aria-expanded=${asked}
          onClick=${() => (links.asked.value = asked ? null : link.shareId)}
        >
          ${t.revoke}
        </button>`}
      </div>
      ${asked &&
      html`
        <div class="share-question" role="group" aria-label=${t.revokeNamed(name)}>
          <p>${t.revokeQuestion}</p>
          <div class="share-actions">
            <${BusyButton} class="button danger" busy=${links.busy.value} onClick=${revoke}>${t.revokeYes}<//>
            <button type="button" class="button" onClick=${close}>${t.revokeNo}</button>
          </div>
        </div>
      `}
    </li>
  `;
}

/** @param {ShareLink} link */
const isActive = (link) => !link.revokedAt && Date.parse(link.expiresAt) > now.value;

/** @param {ShareLink} link */
function stateText(link) {
  const t = texts.value.share;
  if (link.revokedAt) return t.revoked(formatDateWithTime(link.revokedAt));
  return (isActive(link) ? t.openUntil : t.expired)(formatDateWithTime(link.expiresAt));
}

/** @param {unknown} problem */
function problemText(problem) {
  const t = texts.value.share;
  if (!(problem instanceof Problem)) throw problem;
  if (problem.code === "too-many-shares") return t.tooMany;
  if (problem.code === "bad-date") return t.badDate;
  if (problem.status === 0) return t.network;
  if (problem.status === 404) return t.gone;
  if (problem.status === 429) return t.rateLimited;
  return problem.status >= 500 ? t.unavailable : problem.detail || problem.code;
}

/** The end of the event, if a link may live until then; else null. @param {string | null | undefined} endDate */
function endWithinReach(endDate) {
  const left = endDate ? Date.parse(endDate) - now.value : 0;
  return endDate && left > 0 && left < DAYS_MAX * DAY_MS ? endDate : null;
}

/** When a link expires; null without a usable date. @param {Until} until @param {string} date @param {string | null} untilEnd */
function untilInstant(until, date, untilEnd) {
  if (until === "end") return untilEnd;
  if (until !== "date") return new Date(Date.now() + until * DAY_MS).toISOString();
  return /^\d{4}-\d\d-\d\d$/.test(date) ? endOfDay(date) : null;
}

/** The last second of a day in the zone of the page, as an instant with an offset. @param {string} date */
function endOfDay(date) {
  const local = `${date}T23:59:59`;
  const name = formatterOf(Intl.DateTimeFormat, "en", { timeZone: timeZone.value, timeZoneName: "longOffset" })
    .formatToParts(new Date(`${local}Z`))
    .find((part) => part.type === "timeZoneName")?.value;
  return `${local}${name?.replace("GMT", "") || "Z"}`;
}

/** A day in the zone of the page: 2026-11-28. @param {number} ms */
const dayText = (ms) => formatterOf(Intl.DateTimeFormat, "sv-SE", { timeZone: timeZone.value, dateStyle: "short" }).format(ms);

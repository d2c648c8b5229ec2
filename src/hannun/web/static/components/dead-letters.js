/** The open dead letters, each with its reason; those that are chosen are retried or dropped. */
import { useSignal } from "../vendor/signals.js";
import { useEffect, useRef } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { getJson, postJson, Problem } from "../api.js";
import { formatCount, formatDateTime } from "../format.js";
import { texts } from "../state.js";
import { BusyButton } from "./busy-button.js";

/** @typedef {import("../api-types.js").DeadLetters} List */
/** @typedef {import("../api-types.js").DeadLetterOutcome} Outcome */

const URL = "/api/v1/operations/dead-letters";
/** As many as one request takes. */
const SHOWN_MAX = 100;

/** @param {{ openCount: number }} props the number of the newest overview: a change loads the list again */
export function DeadLettersSection({ openCount }) {
  const t = texts.value.deadLetters;
  const list = useSignal(/** @type {List | null} */ (null));
  const chosen = useSignal(/** @type {ReadonlySet<number>} */ (new Set()));
  const busy = useSignal(false);
  const confirming = useSignal(false);
  const said = useSignal("");
  /** It takes the focus from the question that goes. */
  const heading = useRef(/** @type {HTMLElement | null} */ (null));
  const endQuestion = () => {
    if (!confirming.peek()) return;
    heading.current?.focus();
    confirming.value = false;
  };

  const load = async () => {
    try {
      const found = /** @type {List} */ (await getJson(`${URL}?limit=${SHOWN_MAX}`));
      list.value = found;
      const open = new Set(found.deadLetters.map((each) => each.number));
      chosen.value = new Set([...chosen.peek()].filter((number) => open.has(number)));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      said.value = t.failed(error.message);
    }
  };
  useEffect(() => {
    load();
  }, [openCount]);

  const run = async (/** @type {"retry" | "drop"} */ action) => {
    busy.value = true;
    try {
      const answer = await postJson(`${URL}/${action}`, { numbers: [...chosen.value] });
      said.value = t.done(outcomeText(answer.results));
      await load();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      said.value = t.failed(error.message);
    }
    endQuestion();
    busy.value = false;
  };

  const found = list.value;
  if (found === null || (found.total === 0 && !said.value)) return null;
  return html`
    <section class="card system-section dead-letters" aria-labelledby="dead-letters-title">
      <h2 id="dead-letters-title" ref=${heading} tabindex="-1">${t.title}</h2>
      <p class="note">${t.summary(formatCount(found.total), Object.entries(found.byReason).map(([reason, n]) => `${t.reasons[reason] ?? reason} ${formatCount(n)}`).join(" · "))}</p>
      <p class="note" role="status">${said.value}</p>
      <ul class="dead-letter-list">
        ${found.deadLetters.map((each) => html`<${Row} key=${each.number} letter=${each} chosen=${chosen} busy=${busy.value} />`)}
      </ul>
      <div class="dead-letter-actions">
        <${BusyButton} class="button quiet" busy=${busy.value} onClick=${() => (chosen.value = new Set(chosen.value.size ? [] : found.deadLetters.map((each) => each.number)))}>
          ${chosen.value.size ? t.chooseNone : t.chooseAll}
        <//>
        ${confirming.value
          ? html`<span ref=${focus} tabindex="-1">${t.confirmDrop(formatCount(chosen.value.size))}</span>
              <${BusyButton} class="button danger" busy=${busy.value} onClick=${() => run("drop")}>${t.drop}<//>
              <button type="button" class="button quiet" onClick=${endQuestion}>${t.keep}</button>`
          : html`<${BusyButton} class="button primary" busy=${busy.value || !chosen.value.size} onClick=${() => run("retry")}>${busy.value ? t.working : t.retry}<//>
              <${BusyButton} class="button quiet" busy=${busy.value || !chosen.value.size} onClick=${() => (confirming.value = true)}>${t.drop}<//>`}
      </div>
    </section>
  `;
}

/** Move the focus to what has appeared. @param {HTMLElement | null} element */
const focus = (element) => element?.focus();

/** @param {{ letter: import("../api-types.js").DeadLetter, chosen: import("../vendor/signals.js").Signal<ReadonlySet<number>>, busy: boolean }} props */
function Row({ letter, chosen, busy }) {
  const t = texts.value.deadLetters;
  const toggle = () => {
    const next = new Set(chosen.value);
    if (!next.delete(letter.number)) next.add(letter.number);
    chosen.value = next;
  };
  const where = letter.topic === null ? t.overHttp : `${letter.topic} ${letter.partition} @ ${letter.offset}`;
  return html`
    <li>
      <label>
        <input type="checkbox" checked=${chosen.value.has(letter.number)} disabled=${busy} onChange=${toggle} />
        <span>
          <strong>${t.reasons[letter.reason] ?? letter.reason}</strong> <code>${letter.kind}</code> #${letter.number}
          <small>${letter.detail}</small>
          <small>${formatDateTime(letter.createdAt)} · ${where}${letter.eventId ? ` · ${letter.eventId}` : ""}</small>
        </span>
      </label>
    </li>
  `;
}

/** How many ended how, and why the first one could not be counted. @param {Outcome[]} results */
function outcomeText(results) {
  const t = texts.value.deadLetters;
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { result } of results) counts.set(result, (counts.get(result) ?? 0) + 1);
  const why = results.find((each) => each.why)?.why;
  const parts = [...counts].map(([result, n]) => `${t.results[result] ?? result} ${formatCount(n)}`);
  return [...parts, ...(why ? [why] : [])].join(" · ");
}

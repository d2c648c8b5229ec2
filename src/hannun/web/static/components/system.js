/** The figures of the running system: counting, cache, backups; the channels, the partitions of Kafka. */
import { useRef } from "../vendor/preact-hooks.js";
import { html } from "../html.js";
import { formatBytes, formatCount, formatDateTime, formatDuration, formatPercent } from "../format.js";
import { lang, texts } from "../state.js";
import { Severity } from "./severity.js";

/** @typedef {import("../api-types.js").OperationsOverview} Overview */
/** @typedef {import("../api-types.js").Figure} Figure */

/** The age of an instant by the clock of the answer. @param {Overview} overview @param {string} instant */
const ageAt = (overview, instant) => Math.max(0, (Date.parse(overview.asOf) - Date.parse(instant)) / 1000);

/** @param {Figure} figure @param {(value: number) => string} format */
const orNone = (figure, format) => (figure === null || figure === undefined ? texts.value.none : format(figure));

/** A rate per second; a slow one with a decimal, so that it does not read as none. @param {Figure} rate */
const formatRate = (rate) => orNone(rate, (n) => formatCount(n, n < 10 ? 1 : 0));

/**
 * When a message was last counted: positions in Kafka say it of its messages. Of those over HTTP the page sees only that the ledgers have grown.
 * @param {Overview} overview
 */
function useLastCounted({ counting, asOf }) {
  const seen = useRef("");
  if (counting.countedPerSecond) seen.current = asOf;
  const times = [counting.countedAt ?? "", seen.current].filter(Boolean);
  return times.length ? times.reduce((a, b) => (Date.parse(a) > Date.parse(b) ? a : b)) : null;
}

/** @param {Figure} share from 0 to 1 */
const formatShare = (share) => orNone(share, (value) => formatPercent(value * 100));

/** @param {{ overview: Overview }} props */
export function SystemFigures({ overview }) {
  const t = texts.value.system;
  const { counting, redis, months, consistency } = overview;
  const newest = consistency[consistency.length - 1];
  const round = overview.round;
  const lastCounted = useLastCounted(overview);
  return html`
    <dl class="system-figures">
      <${Figure} name=${t.rate} value=${orNone(counting.countedPerSecond, (n) => t.perSecond(formatRate(n)))} note=${counting.messagesPerSecond === null ? "" : t.fromKafka(formatRate(counting.messagesPerSecond))} />
      <${Figure}
        name=${t.lag}
        value=${orNone(counting.lag, (n) => t.messages(formatCount(n)))}
        note=${overview.unreachable.kafka ?? (counting.lag === null ? t.noKafka : t.lagNote)}
        wrong=${overview.unreachable.kafka}
      />
      <${Figure}
        name=${t.freshness}
        value=${lastCounted ? t.ago(formatDuration(ageAt(overview, lastCounted))) : t.noneSeen}
        note=${t.pending(formatCount(counting.invalidationsPending))}
      />
      <${Figure} name=${t.consistent} value=${newest ? formatShare(newest.share) : texts.value.none} note=${newest ? t.consistentNote(formatCount(newest.afterSeconds)) : t.notCompared} wrong=${newest && newest.share < 1} />
      <${Figure}
        name=${t.hitRate}
        value=${redis ? formatShare(redis.recentHitRatio ?? redis.hitRatio) : texts.value.none}
        note=${redis ? t.redis(formatBytes(redis.bytes), formatCount(redis.keys)) : (overview.unreachable.redis ?? "")}
        wrong=${overview.unreachable.redis}
      />
      <${Figure}
        name=${t.round}
        value=${round ? (round.endedAt ? t.ago(formatDuration(ageAt(overview, round.endedAt))) : t.running) : texts.value.none}
        note=${round ? t.pieces(formatCount(round.piecesDone), formatCount(round.pieces)) : t.noRound}
      />
      <${Figure}
        name=${t.backup}
        value=${doneAgo(overview, (kind) => kind.startsWith("backup-"))}
        note=${t.drill(doneAgo(overview, (kind) => kind === "drill"))}
      />
      <${Figure}
        name=${t.months}
        value=${t.monthsAhead(formatCount(months.ahead))}
        note=${months.first ? t.monthsAttached(months.first, months.last ?? months.first, formatCount(months.detached)) : t.noMonths}
        wrong=${months.ahead === 0}
      />
    </dl>
  `;
}

/** How long ago the newest success of some kinds was. @param {Overview} overview @param {(kind: string) => boolean} isOne */
function doneAgo({ operations }, isOne) {
  const ages = operations.filter((each) => isOne(each.kind)).map((each) => each.ageSeconds);
  return ages.length ? texts.value.system.ago(formatDuration(Math.min(...ages))) : texts.value.system.never;
}

/** @param {{ name: string, value: string, note: string, wrong?: unknown }} props */
const Figure = ({ name, value, note, wrong }) => html`
  <div class="card system-figure ${wrong ? "wrong" : ""}">
    <dt>${name}</dt>
    <dd class="system-value">${value}</dd>
    <dd class="note">${note}</dd>
  </div>
`;

/** @param {{ overview: Overview }} props */
export function SystemChannels({ overview }) {
  const t = texts.value.system;
  if (overview.channels.length === 0) return null;
  return html`
    <section class="card system-section" aria-labelledby="system-channels">
      <h2 id="system-channels">${t.channels}</h2>
      <div class="system-scroll" tabindex="0" role="group" aria-labelledby="system-channels">
        <table class="system-table" role="table">
          <thead role="rowgroup">
            <tr role="row">
              <th scope="col" role="columnheader">${t.channel}</th>
              <th scope="col" role="columnheader">${t.breaker}</th>
              <th scope="col" role="columnheader" class="figure">${t.activeEvents}</th>
              <th scope="col" role="columnheader" class="figure">${t.staleEvents}</th>
              <th scope="col" role="columnheader" class="figure">${t.oldest}</th>
            </tr>
          </thead>
          <tbody role="rowgroup">
            ${overview.channels.map(
              (each) => html`
                <tr key=${each.channelName} role="row">
                  <th scope="row" role="rowheader">${each.channelTitle[lang.value]}</th>
                  <td role="cell">${each.breaker ? html`<${Severity} severity=${each.breaker === "closed" ? "ok" : "warning"} label=${each.held ? t.held : t.breakers[each.breaker]} />` : texts.value.none}</td>
                  <td role="cell" class="figure" data-name=${t.activeEvents}>${formatCount(each.activeEvents)}</td>
                  <td role="cell" class="figure" data-name=${t.staleEvents}>${formatCount(each.staleEvents)}</td>
                  <td role="cell" class="figure" data-name=${t.oldest}>${each.oldestMeasuredAt ? t.ago(formatDuration(ageAt(overview, each.oldestMeasuredAt))) : texts.value.none}</td>
                </tr>
              `,
            )}
          </tbody>
        </table>
      </div>
    </section>
  `;
}

/** @param {{ overview: Overview }} props */
export function SystemPositions({ overview }) {
  const t = texts.value.system;
  if (overview.positions.length === 0) return null;
  const stopped = overview.positions.filter((each) => each.stopped);
  return html`
    <section class="card system-section" aria-labelledby="system-positions">
      <h2 id="system-positions">${t.positions}</h2>
      ${stopped.map((each) => html`<p class="form-error" key=${`${each.topic} ${each.partition}`}>${each.topic} ${each.partition}: ${each.stopped}. ${each.hint}</p>`)}
      <div class="system-scroll" tabindex="0" role="group" aria-labelledby="system-positions">
        <table class="system-table" role="table">
          <thead role="rowgroup">
            <tr role="row">
              <th scope="col" role="columnheader">${t.topic}</th>
              <th scope="col" role="columnheader" class="figure">${t.partition}</th>
              <th scope="col" role="columnheader" class="figure">${t.position}</th>
              <th scope="col" role="columnheader" class="figure">${t.notCounted}</th>
              <th scope="col" role="columnheader" class="figure">${t.movedAt}</th>
            </tr>
          </thead>
          <tbody role="rowgroup">
            ${overview.positions.map(
              (each) => html`
                <tr key=${`${each.topic} ${each.partition}`} role="row">
                  <th scope="row" role="rowheader">${each.topic}</th>
                  <td role="cell" class="figure" data-name=${t.partition}>${each.partition}</td>
                  <td role="cell" class="figure" data-name=${t.position}>${orNone(each.nextOffset, formatCount)}</td>
                  <td role="cell" class="figure" data-name=${t.notCounted}>${orNone(each.notCounted, formatCount)}</td>
                  <td role="cell" class="figure" data-name=${t.movedAt}>${each.movedAt ? formatDateTime(each.movedAt) : texts.value.none}</td>
                </tr>
              `,
            )}
          </tbody>
        </table>
      </div>
    </section>
  `;
}

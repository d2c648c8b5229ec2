/**
 * Keeping what is shown up to date.
 *
 *     connecting ──open──▶ live ──error──▶ reconnecting ──open──▶ live
 *                            │                                     ▲
 *                            └──no network──▶ offline ──network────┘
 *
 * The stream only says "changed"; then we ask again. Each open (the first, and each one after a loss) asks too, since
 * what happened in between was not announced. A question once a minute is the net below all that.
 *
 * - The stream breaks: EventSource tries again by itself.
 * - The server refuses the stream (503, 401, a limit): EventSource gives up, so we open a new one, ever more slowly.
 * - A question fails for a passing reason: what is shown stays, we say it is not live, and ask again soon.
 * - The page is hidden for a while: the stream is closed, to spare battery and server; seen again, it opens and asks.
 */
import { effect, signal } from "./vendor/signals.js";
import { useEffect, useMemo, useRef } from "./vendor/preact-hooks.js";
import { Problem } from "./api.js";
import { now } from "./state.js";

/** @typedef {"connecting" | "live" | "reconnecting" | "offline"} LiveState */

const GAP_MS = 250;
const NET_MS = 60_000;
const RETRY_MS_MIN = 2_000;
const RETRY_MS_MAX = 30_000;
const HIDDEN_MS_MAX = 30_000;

/**
 * A function that runs `work` soon: never two at once, however often it is called at most one more afterwards, and starts
 * at least `gapMs` apart.
 * @param {() => Promise<void>} work it handles its own errors
 * @param {number} gapMs
 */
export function coalesced(work, gapMs) {
  let running = false;
  let wanted = false;
  let startedMs = -Infinity;
  const run = async () => {
    if (running) {
      wanted = true;
      return;
    }
    running = true;
    try {
      do {
        const restMs = startedMs + gapMs - performance.now();
        if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs));
        // Whoever asked while we waited is served by this run.
        wanted = false;
        startedMs = performance.now();
        await work();
      } while (wanted);
    } finally {
      running = false;
    }
  };
  return run;
}

/** Waits that double, with jitter, so that a thousand pages do not come back in the same second. */
function backoff() {
  let failures = 0;
  return {
    nextMs: () => Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** failures++) * (0.75 + Math.random() / 2),
    reset: () => (failures = 0),
  };
}

/** What a view follows: its stream, and how to ask again. */
class Follower {
  state = signal(/** @type {LiveState} */ ("connecting"));
  problem = signal(/** @type {Problem | null} */ (null));
  /** @type {EventSource | null} */ #source = null;
  #streamOpen = false;
  #streamBackoff = backoff();
  #askBackoff = backoff();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #reopenTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #retryTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #hiddenTimer;
  #stopped = false;

  /** @param {string} url the stream @param {() => Promise<void>} load asks and shows; throws a Problem */
  constructor(url, load) {
    this.url = url;
    this.load = load;
    this.refresh = coalesced(() => this.#ask(), GAP_MS);
  }

  /** @returns {() => void} stop */
  start() {
    const net = setInterval(() => document.hidden || this.refresh(), NET_MS);
    const onVisible = () => this.#onVisible();
    const onNetwork = () => this.#onNetwork();
    document.addEventListener("visibilitychange", onVisible);
    addEventListener("online", onNetwork);
    addEventListener("offline", onNetwork);
    this.refresh();
    this.#open();
    return () => {
      this.#stopped = true;
      clearInterval(net);
      clearTimeout(this.#retryTimer);
      clearTimeout(this.#hiddenTimer);
      document.removeEventListener("visibilitychange", onVisible);
      removeEventListener("online", onNetwork);
      removeEventListener("offline", onNetwork);
      this.#close();
    };
  }

  #open() {
    this.#close();
    if (this.#stopped) return;
    const source = (this.#source = new EventSource(this.url));
    source.addEventListener("open", () => {
      this.#streamBackoff.reset();
      this.#streamOpen = true;
      this.refresh();
    });
    source.addEventListener("changed", () => this.refresh());
    source.addEventListener("error", () => {
      this.#streamOpen = false;
      this.#show();
      if (source.readyState !== EventSource.CLOSED) return;
      this.#reopenTimer = setTimeout(() => this.#open(), this.#streamBackoff.nextMs());
      // A refusal may mean that the session has ended; the question finds out.
      this.refresh();
    });
  }

  #close() {
    clearTimeout(this.#reopenTimer);
    this.#source?.close();
    this.#source = null;
    this.#streamOpen = false;
  }

  async #ask() {
    if (this.#stopped) return;
    clearTimeout(this.#retryTimer);
    try {
      await this.load();
      this.#askBackoff.reset();
      this.problem.value = null;
    } catch (error) {
      const problem = error instanceof Problem ? error : null;
      if (!problem) throw error;
      this.problem.value = problem;
      if (problem.passes && !this.#stopped) {
        const waitMs = problem.retryAfterS ? Math.min(problem.retryAfterS * 1000, NET_MS) : this.#askBackoff.nextMs();
        this.#retryTimer = setTimeout(() => this.refresh(), waitMs);
      }
    }
    now.value = Date.now();
    this.#show();
  }

  #show() {
    if (!navigator.onLine) this.state.value = "offline";
    else if (this.#streamOpen && !this.problem.value) this.state.value = "live";
    else if (this.state.value !== "connecting" || this.problem.value) this.state.value = "reconnecting";
  }

  #onVisible() {
    clearTimeout(this.#hiddenTimer);
    if (document.hidden) {
      this.#hiddenTimer = setTimeout(() => this.#close(), HIDDEN_MS_MAX);
      return;
    }
    now.value = Date.now();
    if (!this.#source) this.#open();
    this.refresh();
  }

  #onNetwork() {
    this.#show();
    if (!navigator.onLine) return;
    this.#streamBackoff.reset();
    if (!this.#streamOpen) this.#open();
    this.refresh();
  }
}

/**
 * Follow a stream for as long as the component is on the page.
 * @param {string} url
 * @param {() => Promise<void>} load the one of the latest drawing is called
 */
export function useLive(url, load) {
  const latest = useRef(load);
  latest.current = load;
  const follower = useMemo(() => new Follower(url, () => latest.current()), [url]);
  useEffect(() => follower.start(), [follower]);
  return follower;
}

/** Whether what is shown may be called live, held back a moment so that a blink of the network does not flicker. */
const CALM_MS = 1_500;

/** @param {Follower} follower @returns {import("./vendor/signals.js").Signal<LiveState>} */
export function useCalmState(follower) {
  const calm = useMemo(() => signal(follower.state.peek()), [follower]);
  useEffect(() => {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const stop = effect(() => {
      const state = follower.state.value;
      clearTimeout(timer);
      if (state === "reconnecting") timer = setTimeout(() => (calm.value = state), CALM_MS);
      else calm.value = state;
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [follower]);
  return calm;
}

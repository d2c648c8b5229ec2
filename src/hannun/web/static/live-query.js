/**
 * A live query: data that is loaded again whenever the service's event stream announces a change.
 *
 *     connecting ──open──▶ live ──error──▶ reconnecting ──open──▶ live
 *                            │                                     ▲
 *                            └──no network──▶ offline ──network────┘
 *
 * The stream sends "changed" events; each one triggers a load. Changes before the stream was opened are not announced.
 * So it begins with an "opened" event, which names the ETag as of then: the data is loaded again unless the page held the
 * answer with this ETag when its last load began. As a fallback, the data is loaded once a minute.
 *
 * - The stream breaks: EventSource reconnects by itself.
 * - The server rejects the stream (503, 401, a limit): EventSource gives up. A new one is opened, with backoff.
 * - A load fails with a transient error: the page keeps the shown data, says that it is not live, and loads again.
 * - The page is hidden for 30 s: the stream is closed, to save battery and server connections. When the page becomes
 *   visible, the stream is opened and the data is loaded.
 */
import { effect, signal } from "./vendor/signals.js";
import { useEffect, useMemo, useRef } from "./vendor/preact-hooks.js";
import { cachedEtag, Problem } from "./api.js";
import { now } from "./state.js";

/** @typedef {"connecting" | "live" | "reconnecting" | "offline"} LiveState */

const REFRESH_GAP_MS = 1_000;
const USER_GAP_MS = 250;
const POLL_MS = 60_000;
const RETRY_MS_MIN = 2_000;
const RETRY_MS_MAX = 30_000;
const HIDDEN_MS_MAX = 30_000;
/** If "opened" has not come by then, something is lost: the data is loaded. */
const OPENED_MS_MAX = 5_000;

/**
 * Return a function that runs `work`, never twice at the same time. Calls during a run cause exactly one more run.
 * Runs start at least `gapMs` apart.
 * @param {() => Promise<void>} work handles its own errors
 * @param {number} gapMs
 */
export function coalesce(work, gapMs) {
  let running = false;
  let rerun = false;
  let startedMs = -Infinity;
  const run = async () => {
    if (running) {
      rerun = true;
      return;
    }
    running = true;
    try {
      do {
        const waitMs = startedMs + gapMs - performance.now();
        if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
        // This run also serves the calls made during the wait.
        rerun = false;
        startedMs = performance.now();
        await work();
      } while (rerun);
    } finally {
      running = false;
    }
  };
  return run;
}

/** Exponential backoff with jitter, so that a thousand pages do not reconnect in the same second. */
function backoff() {
  let failures = 0;
  return {
    nextMs: () => Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** failures++) * (0.75 + Math.random() / 2),
    reset: () => (failures = 0),
  };
}

/** Connection state and last error of one view's data, and the stream and timers that keep the data fresh. */
class LiveQuery {
  state = signal(/** @type {LiveState} */ ("connecting"));
  problem = signal(/** @type {Problem | null} */ (null));
  /** @type {EventSource | null} */ #source = null;
  #streamOpen = false;
  #isLoading = false;
  /** The ETag of the held answer when the last load began: what it loaded is not older. @type {string | null} */
  #loadedEtag = null;
  /** The ETag when the stream was opened; undefined once it has been compared. @type {string | null | undefined} */
  #openedEtag;
  #streamBackoff = backoff();
  #loadBackoff = backoff();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #reopenTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #openedTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #retryTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #hiddenTimer;
  #stopped = false;
  /** @type {() => Promise<void>} */ #refreshLater;

  /**
   * @param {string} url of the stream
   * @param {() => Promise<void>} load fetches and shows the data; throws a Problem
   * @param {string} answerUrl the answer whose ETag changes with all that the stream announces
   */
  constructor(url, load, answerUrl) {
    this.url = url;
    this.load = load;
    this.answerUrl = answerUrl;
    this.refresh = coalesce(() => this.#runLoad(), USER_GAP_MS);
    // What a user does is answered at once; what is announced many times a second is not loaded as often.
    this.#refreshLater = coalesce(() => this.refresh(), REFRESH_GAP_MS);
  }

  /** @returns {() => void} stops the updates */
  start() {
    const pollTimer = setInterval(() => document.hidden || this.refresh(), POLL_MS);
    const onVisible = () => this.#onVisible();
    const onNetwork = () => this.#onNetwork();
    document.addEventListener("visibilitychange", onVisible);
    addEventListener("online", onNetwork);
    addEventListener("offline", onNetwork);
    this.refresh();
    this.#openStream();
    return () => {
      this.#stopped = true;
      clearInterval(pollTimer);
      clearTimeout(this.#retryTimer);
      clearTimeout(this.#hiddenTimer);
      document.removeEventListener("visibilitychange", onVisible);
      removeEventListener("online", onNetwork);
      removeEventListener("offline", onNetwork);
      this.#closeStream();
    };
  }

  #openStream() {
    this.#closeStream();
    if (this.#stopped) return;
    const source = (this.#source = new EventSource(this.url));
    source.addEventListener("open", () => {
      this.#streamBackoff.reset();
      this.#streamOpen = true;
      this.#openedTimer = setTimeout(() => this.refresh(), OPENED_MS_MAX);
    });
    source.addEventListener("opened", (event) => {
      clearTimeout(this.#openedTimer);
      this.#openedEtag = JSON.parse(event.data).etag;
      this.#compareOpened();
    });
    source.addEventListener("changed", () => this.#refreshLater());
    source.addEventListener("error", () => {
      this.#streamOpen = false;
      clearTimeout(this.#openedTimer);
      this.#updateState();
      if (source.readyState !== EventSource.CLOSED) return;
      this.#reopenTimer = setTimeout(() => this.#openStream(), this.#streamBackoff.nextMs());
      // The session may have ended. EventSource hides the status, so that a load must find out.
      this.refresh();
    });
  }

  /** Load again, unless nothing has changed from the beginning of the last load to the opening of the stream. */
  #compareOpened() {
    if (this.#openedEtag === undefined || this.#isLoading) return; // the end of the load compares
    const isCurrent = this.#openedEtag !== null && this.#openedEtag === this.#loadedEtag;
    this.#openedEtag = undefined;
    if (isCurrent) this.#updateState();
    else this.refresh();
  }

  #closeStream() {
    clearTimeout(this.#reopenTimer);
    clearTimeout(this.#openedTimer);
    this.#openedEtag = undefined;
    this.#source?.close();
    this.#source = null;
    this.#streamOpen = false;
  }

  async #runLoad() {
    if (this.#stopped) return;
    clearTimeout(this.#retryTimer);
    this.#isLoading = true;
    const heldEtag = cachedEtag(this.answerUrl);
    this.#loadedEtag = null;
    try {
      await this.load();
      this.#loadedEtag = heldEtag;
      this.#loadBackoff.reset();
      this.problem.value = null;
    } catch (error) {
      const problem = error instanceof Problem ? error : null;
      if (!problem) throw error;
      this.problem.value = problem;
      if (problem.transient && !this.#stopped) {
        const waitMs = problem.retryAfterS ? Math.min(problem.retryAfterS * 1000, POLL_MS) : this.#loadBackoff.nextMs();
        this.#retryTimer = setTimeout(() => this.refresh(), waitMs);
      }
    } finally {
      this.#isLoading = false;
    }
    this.#updateState();
    this.#compareOpened();
  }

  #updateState() {
    if (!navigator.onLine) this.state.value = "offline";
    else if (this.#streamOpen && !this.problem.value) this.state.value = "live";
    else if (this.state.value !== "connecting" || this.problem.value) this.state.value = "reconnecting";
  }

  #onVisible() {
    clearTimeout(this.#hiddenTimer);
    if (document.hidden) {
      this.#hiddenTimer = setTimeout(() => this.#closeStream(), HIDDEN_MS_MAX);
      return;
    }
    now.value = Date.now();
    if (!this.#source) this.#openStream();
    this.refresh();
  }

  #onNetwork() {
    this.#updateState();
    if (!navigator.onLine) return;
    this.#streamBackoff.reset();
    if (!this.#streamOpen) this.#openStream();
    this.refresh();
  }
}

/**
 * Keep data fresh while the component is mounted.
 * @param {string} url
 * @param {() => Promise<void>} load the function of the latest rendering is the one that is called
 * @param {string} answerUrl
 */
export function useLiveQuery(url, load, answerUrl) {
  const latest = useRef(load);
  latest.current = load;
  const liveQuery = useMemo(() => new LiveQuery(url, () => latest.current(), answerUrl), [url, answerUrl]);
  useEffect(() => liveQuery.start(), [liveQuery]);
  return liveQuery;
}

/** Delay before "reconnecting" is shown, so that a short network interruption does not make the status flicker. */
const RECONNECTING_DELAY_MS = 1_500;

/** The state of a live query, with "reconnecting" delayed. @param {LiveQuery} liveQuery @returns {import("./vendor/signals.js").Signal<LiveState>} */
export function useDebouncedState(liveQuery) {
  const debounced = useMemo(() => signal(liveQuery.state.peek()), [liveQuery]);
  useEffect(() => {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const stop = effect(() => {
      const state = liveQuery.state.value;
      clearTimeout(timer);
      if (state === "reconnecting") timer = setTimeout(() => (debounced.value = state), RECONNECTING_DELAY_MS);
      else debounced.value = state;
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [liveQuery]);
  return debounced;
}

/** Texts of the state of the live connection. */

const ko = {
  live: {
    live: "실시간",
    connecting: "연결 중",
    reconnecting: "다시 연결 중",
    offline: "인터넷 연결 없음",
    notLive: "실시간 아님",
    /** @param {string} when */ changed: (when) => `${when} 업데이트`,
    /** @param {string} when */ showingAsOf: (when) => `${when} 기준 숫자를 보여 드리고 있어요.`,
    justNow: "방금",
  },
};

/** @type {typeof ko} */
const en = {
  live: {
    live: "Live",
    connecting: "Connecting",
    reconnecting: "Reconnecting",
    offline: "No internet",
    notLive: "Not live",
    changed: (when) => `updated ${when}`,
    showingAsOf: (when) => `Showing the numbers as of ${when}.`,
    justNow: "just now",
  },
};

export const liveTexts = { ko, en };

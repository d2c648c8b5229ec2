/** Texts of the dead letters. */

const ko = {
  deadLetters: {
    title: "쓰지 못한 메시지",
    /** @param {string} n @param {string} reasons */ summary: (n, reasons) => `처리를 기다리는 메시지가 ${n}건 있어요. ${reasons}`,
    reasons: /** @type {Record<string, string>} */ ({
      "not-json": "JSON이 아님",
      "bad-utf8-or-nul": "읽을 수 없는 글자",
      "too-large": "너무 큼",
      "unknown-type": "모르는 종류",
      "missing-field": "빠진 항목",
      "wrong-type": "잘못된 형식",
      "out-of-bounds": "범위를 벗어남",
      "no-offset-in-a-time": "시간대 없는 시각",
      "too-early-or-too-far-ahead": "너무 이르거나 먼 시각",
      "owner-changed": "판매자가 바뀜",
      "refused-by-the-database": "데이터베이스가 거절",
    }),
    overHttp: "HTTP",
    chooseAll: "모두 선택",
    chooseNone: "선택 해제",
    retry: "다시 처리",
    working: "처리하고 있어요",
    drop: "버리기",
    keep: "그만두기",
    /** @param {string} n */ confirmDrop: (n) => `${n}건을 세지 않고 닫을까요? 기록은 남아요.`,
    /** @param {string} outcomes */ done: (outcomes) => outcomes || "선택한 메시지는 이미 처리됐어요.",
    results: /** @type {Record<string, string>} */ ({ counted: "집계됨", repeated: "이미 집계됨", dropped: "버림", "dead-letter": "여전히 쓰지 못함" }),
    /** @param {string} why */ failed: (why) => `처리하지 못했어요: ${why}`,
  },
};

/** @type {typeof ko} */
const en = {
  deadLetters: {
    title: "Dead letters",
    summary: (n, reasons) => `${n} messages could not be used and are open. ${reasons}`,
    reasons: {
      "not-json": "not JSON",
      "bad-utf8-or-nul": "unreadable characters",
      "too-large": "too large",
      "unknown-type": "unknown type",
      "missing-field": "missing field",
      "wrong-type": "wrong type",
      "out-of-bounds": "out of bounds",
      "no-offset-in-a-time": "a time without an offset",
      "too-early-or-too-far-ahead": "too early or too far ahead",
      "owner-changed": "the owner changed",
      "refused-by-the-database": "refused by the database",
    },
    overHttp: "HTTP",
    chooseAll: "Select all",
    chooseNone: "Select none",
    retry: "Retry",
    working: "Working",
    drop: "Drop",
    keep: "Keep",
    confirmDrop: (n) => `Close ${n} without counting them? They stay on record.`,
    done: (outcomes) => outcomes || "The selected messages were handled already.",
    results: { counted: "counted", repeated: "counted before", dropped: "dropped", "dead-letter": "still unusable" },
    failed: (why) => `This failed: ${why}`,
  },
};

export const deadLettersTexts = { ko, en };

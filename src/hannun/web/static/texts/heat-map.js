/** Texts of the hours of the week in which participants come. */

const ko = {
  heatMap: {
    title: "언제 많이 오나요?",
    label: "요일과 시간대별 참여자",
    keys: "화살표 키로 칸을 옮길 수 있어요.",
    /** @param {number} weeks */ caption: (weeks) => `최근 ${weeks}주의 요일과 시간대별 참여자`,
    /** @param {string} day @param {string} hour @param {string} n @param {string} share @param {number} weeks */
    busiest: (day, hour, n, share, weeks) => `${day} ${hour}에 가장 많이 왔어요. ${n}명, 최근 ${weeks}주 참여자의 ${share}예요.`,
    early: "붐비는 시간을 말하기에는 참여가 아직 적어요.",
    /** @param {string} day @param {string} hour @param {string} n */ cell: (day, hour, n) => `${day} ${hour} · ${n}명`,
    /** @param {number} hour */ hours: (hour) => `${hour}시`,
    /** @param {number} hour */ hourShort: (hour) => `${hour}시`,
    hour: "시간",
    few: "0명",
    /** @param {string} n */ many: (n) => `${n}명`,
    /** @param {number} weeks */ empty: (weeks) => `최근 ${weeks}주에는 참여가 없었어요. 참여가 들어오면 붐비는 요일과 시간대를 보여 드려요.`,
    notKept: "이 기간의 시간별 기록은 보관 기간이 지나 남아 있지 않아요.",
    failed: "요일과 시간대를 불러오지 못했어요.",
    days: /** @type {Record<string, string>} */ ({ monday: "월요일", tuesday: "화요일", wednesday: "수요일", thursday: "목요일", friday: "금요일", saturday: "토요일", sunday: "일요일" }),
    daysShort: /** @type {Record<string, string>} */ ({ monday: "월", tuesday: "화", wednesday: "수", thursday: "목", friday: "금", saturday: "토", sunday: "일" }),
  },
};

/** @type {typeof ko} */
const en = {
  heatMap: {
    title: "When do people come?",
    label: "Participants by day and hour",
    keys: "The arrow keys move between the cells.",
    caption: (weeks) => `Participants by weekday and hour, last ${weeks === 1 ? "week" : `${weeks} weeks`}`,
    busiest: (day, hour, n, share, weeks) => `Most came on ${day} at ${hour}: ${n}, which is ${share} of the last ${weeks === 1 ? "week" : `${weeks} weeks`}.`,
    early: "Too few have come to name a busy hour.",
    cell: (day, hour, n) => `${day}, ${hour} · ${n}`,
    hours: (hour) => `${String(hour).padStart(2, "0")}:00`,
    hourShort: (hour) => `${String(hour).padStart(2, "0")}:00`,
    hour: "Hour",
    few: "0",
    many: (n) => n,
    empty: (weeks) => `Nobody came in the last ${weeks === 1 ? "week" : `${weeks} weeks`}. The busy days and hours appear here with the first participants.`,
    notKept: "The hours of this period are not kept any more.",
    failed: "The days and hours could not be loaded.",
    days: { monday: "Monday", tuesday: "Tuesday", wednesday: "Wednesday", thursday: "Thursday", friday: "Friday", saturday: "Saturday", sunday: "Sunday" },
    daysShort: { monday: "Mon", tuesday: "Tue", wednesday: "Wed", thursday: "Thu", friday: "Fri", saturday: "Sat", sunday: "Sun" },
  },
};

export const heatMapTexts = { ko, en };

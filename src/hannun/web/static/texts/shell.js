/** Texts of what stands around every view. */

const ko = {
  name: "한눈",
  skip: "본문으로 건너뛰기",
  otherLanguage: "English",
  signOut: "로그아웃",
  back: "이벤트 목록",
  more: "더 보기",
  loading: "숫자를 불러오고 있어요",
  none: "–",
  belowOneWon: "1원 미만",
  belowTenthPercent: "0.1% 미만",
  /** @param {string} n */ participantsUnit: (n) => `${n}명`,
  /** @param {string} n */ viewsUnit: (n) => `${n}회`,
  /** @param {string} n */ conversionsUnit: (n) => `${n}건`,
  /** @param {string} when */ asOf: (when) => `${when} 기준`,
  theme: { auto: "화면 색: 기기 설정대로", light: "화면 색: 밝게", dark: "화면 색: 어둡게" },
  shortcuts: {
    title: "단축키",
    on: "단축키 쓰기",
    actions: {
      help: "단축키 보기",
      previousRange: "이전 기간",
      nextRange: "다음 기간",
      day: "일별로 보기",
      week: "주별로 보기",
      month: "월별로 보기",
      export: "내보내기",
      reload: "새로 고침",
      search: "이벤트 찾기",
    },
  },
};

/** @type {typeof ko} */
const en = {
  name: "Hannun",
  skip: "Skip to content",
  otherLanguage: "한국어",
  signOut: "Sign out",
  back: "All events",
  more: "Show more",
  loading: "Loading the numbers",
  none: "–",
  belowOneWon: "under ₩1",
  belowTenthPercent: "under 0.1%",
  participantsUnit: (n) => n,
  viewsUnit: (n) => n,
  conversionsUnit: (n) => n,
  asOf: (when) => `as of ${when}`,
  theme: { auto: "Colours: as your device", light: "Colours: light", dark: "Colours: dark" },
  shortcuts: {
    title: "Keyboard shortcuts",
    on: "Use shortcuts",
    actions: {
      help: "Show the shortcuts",
      previousRange: "Earlier range",
      nextRange: "Later range",
      day: "By day",
      week: "By week",
      month: "By month",
      export: "Export",
      reload: "Reload",
      search: "Find an event",
    },
  },
};

export const shellTexts = { ko, en };

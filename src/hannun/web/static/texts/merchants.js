/** Texts of the list of merchants and events, for administrators. */
import { counted } from "./counted.js";

const ko = {
  merchants: {
    title: "판매자와 이벤트",
    lead: "관리자로 로그인했어요. 판매자나 이벤트를 고르면 바로 들어가요.",
    operations: "시스템 점검",
    search: "판매자 ID나 이벤트 제목으로 찾기",
    merchants: "판매자",
    newestEvents: "최신 이벤트",
    events: "찾은 이벤트",
    /** @param {string} n */ merchantsFound: (n) => `판매자 ${n}곳`,
    /** @param {string} n */ eventsFound: (n) => `이벤트 ${n}개`,
    /** @param {string} text */ noMerchant: (text) => `‘${text}’에 맞는 판매자가 없어요.`,
    noMerchants: "아직 이벤트를 연 판매자가 없어요.",
    /** @param {string} text */ noEvent: (text) => `제목이 ‘${text}’에 맞는 이벤트가 없어요.`,
    noEvents: "아직 이벤트가 없어요.",
    merchantsFailed: "판매자를 불러오지 못했어요.",
    eventsFailed: "이벤트를 불러오지 못했어요.",
    /** @param {string} n */ eventCount: (n) => `이벤트 ${n}개`,
    /** @param {string} n */ running: (n) => `진행 중 ${n}개`,
    /** @param {string} date */ newest: (date) => `최근 ${date}`,
    /** @param {string} date */ created: (date) => `${date} 만듦`,
    /** @param {string} id */ of: (id) => `판매자 ${id}`,
  },
};

/** @type {typeof ko} */
const en = {
  merchants: {
    title: "Merchants and events",
    lead: "You are signed in as an administrator. Choose a merchant or an event to enter.",
    operations: "System checks",
    search: "Merchant ID or event title",
    merchants: "Merchants",
    newestEvents: "Newest events",
    events: "Events found",
    merchantsFound: (n) => counted(n, "merchant", "merchants"),
    eventsFound: (n) => counted(n, "event", "events"),
    noMerchant: (text) => `No merchant matches “${text}”.`,
    noMerchants: "No merchant has opened an event yet.",
    noEvent: (text) => `No event has “${text}” in its title.`,
    noEvents: "There is no event yet.",
    merchantsFailed: "The merchants could not be loaded.",
    eventsFailed: "The events could not be loaded.",
    eventCount: (n) => counted(n, "event", "events"),
    running: (n) => `${n} running`,
    newest: (date) => `Newest ${date}`,
    created: (date) => `created ${date}`,
    of: (id) => `Merchant ${id}`,
  },
};

export const merchantsTexts = { ko, en };

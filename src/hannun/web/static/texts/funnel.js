/** Texts of the funnel from impressions to conversions. */

const ko = {
  funnel: {
    title: "어디에서 줄어드나요?",
    empty: "채널이 노출과 조회를 알려 주면, 어디에서 사람이 줄어드는지 여기에서 볼 수 있어요.",
    /** @param {string} step @param {string} count @param {string} people */ lead: (step, count, people) => `${step} ${count}에서 참여자 ${people}까지 이어졌어요.`,
    /** @param {string} from @param {string} to */ worst: (from, to) => `가장 많이 줄어드는 곳은 ‘${from} → ${to}’예요.`,
    /** @param {string} before @param {string} share */ share: (before, share) => `${before}의 ${share}`,
    /** @param {string} before */ more: (before) => `${before}보다 많아요`,
  },
};

/** @type {typeof ko} */
const en = {
  funnel: {
    title: "Where do people drop off?",
    empty: "Once channels report impressions and views, this shows where people drop off.",
    lead: (step, count, people) => `${step}: ${count}. Participants: ${people}.`,
    worst: (from, to) => `Most are lost from ${from.toLowerCase()} to ${to.toLowerCase()}.`,
    share: (before, share) => `${share} of ${before.toLowerCase()}`,
    more: (before) => `more than ${before.toLowerCase()}`,
  },
};

export const funnelTexts = { ko, en };

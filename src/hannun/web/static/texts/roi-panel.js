/** Texts of the panel about the money of an event. */

const ko = {
  roiPanel: {
    title: "쓴 돈만큼 벌고 있나요?",
    spent: "실제로 든 돈",
    basisRecorded: "현재 ROI는 실제로 기록된 매출로 계산해요.",
    basisExpected: "기록된 매출이 없어서, 현재 ROI는 예상 매출로 계산했어요. 아직 번 돈이 아니에요.",
    /** @param {string} share */ basisMixed: (share) => `매출의 ${share}는 기록이 아니라 예상이에요.`,
    breakEven: "본전까지",
    /** @param {string} came @param {string} needed */ cameOf: (came, needed) => `${needed}명 중 ${came}명`,
    /** @param {string} n */ needed: (n) => `${n}명`,
  },
};

/** @type {typeof ko} */
const en = {
  roiPanel: {
    title: "Is it worth the money?",
    spent: "spent",
    basisRecorded: "The current ROI is computed with recorded sales.",
    basisExpected: "No sales are recorded, so the current ROI is computed with the expected revenue. Nothing is earned yet.",
    basisMixed: (share) => `${share} of the revenue is expected and not recorded.`,
    breakEven: "Break-even",
    cameOf: (came, needed) => `${came} of ${needed}`,
    needed: (n) => n,
  },
};

export const roiPanelTexts = { ko, en };

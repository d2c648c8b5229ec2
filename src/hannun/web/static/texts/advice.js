/** Texts of the advice on an event. Its sentences come from the service. */

const ko = {
  advice: {
    title: "무엇을 하면 좋을까요?",
    loading: "살펴보고 있어요",
    none: "지금은 따로 챙길 것이 없어요. 눈에 띄는 것이 생기면 여기에 알려 드릴게요.",
    nothingYet: "아직 참여도 채널 소식도 들어오지 않았어요. 이벤트를 연 곳에 배포와 참여가 연결되어 있는지 확인해 보세요.",
    developers: "개발자라면 메시지를 API로 보낼 수 있어요.",
    docs: "API 문서",
    failed: "제안을 불러오지 못했어요.",
    facts: "근거가 된 숫자",
    showFacts: "숫자 보기",
    hideFacts: "숫자 접기",
    sections: { heatMap: "요일·시간대 보기", channelPerformance: "채널 상태 보기" },
  },
};

/** @type {typeof ko} */
const en = {
  advice: {
    title: "What should I do?",
    loading: "Looking at the numbers",
    none: "Nothing needs you just now. If something stands out, it appears here.",
    nothingYet: "Neither participants nor channels have come in yet. Check that the platform on which you opened the event sends them.",
    developers: "Developers can send messages through the API.",
    docs: "API documentation",
    failed: "The advice could not be loaded.",
    facts: "The numbers behind it",
    showFacts: "Show the numbers",
    hideFacts: "Hide the numbers",
    sections: { heatMap: "See days and hours", channelPerformance: "See the channels" },
  },
};

export const adviceTexts = { ko, en };

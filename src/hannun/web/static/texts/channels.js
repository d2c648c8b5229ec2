/** Texts of the channels of an event. */

const ko = {
  channels: {
    title: "채널",
    caption: "채널별 성과. 마지막 줄은 모든 줄을 더한 전체예요.",
    columns: {
      name: "채널",
      state: "상태",
      participants: "참여자",
      views: "조회수",
      clickThroughRate: "클릭률",
      participationRate: "참여율",
      conversionRate: "전환율",
      distributionCost: "비용",
      costPerParticipant: "참여자당",
    },
    order: "정렬",
    ascending: "낮은 순",
    descending: "높은 순",
    /** @param {string} cheapest @param {string} least @param {string} dearest @param {string} most */
    extremes: (cheapest, least, dearest, most) => `참여자 한 명당 비용이 가장 적은 곳은 ${cheapest} (${least}), 가장 많은 곳은 ${dearest} (${most})이에요.`,
    cheapest: "가장 적어요",
    dearest: "가장 많아요",
    unattributed: "채널 미확인",
    unattributedHint: "채널이 없거나, 종류를 아직 모르는 채널로 온 참여자",
    total: "전체",
    /** @param {string} channels @param {string} rest @param {string} total */
    sum: (channels, rest, total) => `채널 ${channels} + 미확인 ${rest} = 전체 ${total}명`,
    /** @param {string} shown @param {string} all */ printed: (shown, all) => `채널 ${all}개 가운데 ${shown}개만 인쇄했어요. 나머지는 파일로 받을 수 있어요.`,
    empty: "연결된 채널이 없어요.",
    states: { measured: "측정됨", stale: "멈춤", planned: "계획만", failed: "실패", unknown: "확인 안 됨" },
    stateMeaning: /** @type {Record<string, string>} */ ({ failed: "배포하지 못했어요" }),
    types: /** @type {Record<string, string>} */ ({ TV: "TV", VOICE: "전화(ARS)", SNS: "SNS" }),
    notMeasured: "아직 측정 전",
    /** @param {string} when */ staleSince: (when) => `${when}부터`,
    /** @param {string} cost */ perView: (cost) => `조회당 ${cost}`,
    /** @param {string} cost */ perConversion: (cost) => `전환당 ${cost}`,
    /** @param {string} n */ plannedViews: (n) => `계획 ${n}`,
  },
};

/** @type {typeof ko} */
const en = {
  channels: {
    title: "Channels",
    caption: "Performance by channel. The last row is the sum of all rows.",
    columns: {
      name: "Channel",
      state: "State",
      participants: "Participants",
      views: "Views",
      clickThroughRate: "Click-through",
      participationRate: "Participation",
      conversionRate: "Conversion",
      distributionCost: "Cost",
      costPerParticipant: "Per person",
    },
    order: "Sort by",
    ascending: "Lowest first",
    descending: "Highest first",
    extremes: (cheapest, least, dearest, most) => `A participant costs least on ${cheapest} (${least}) and most on ${dearest} (${most}).`,
    cheapest: "lowest",
    dearest: "highest",
    unattributed: "Channel unknown",
    unattributedHint: "Without a channel, or by one whose type is not known yet",
    total: "Total",
    sum: (channels, rest, total) => `${channels} by channel + ${rest} unknown = ${total}`,
    printed: (shown, all) => `Printed are ${shown} of ${all} channels. The others are in the files.`,
    empty: "No channel is connected.",
    states: { measured: "Measured", stale: "Stopped", planned: "Planned only", failed: "Failed", unknown: "Unknown" },
    stateMeaning: { failed: "It was not distributed" },
    types: { TV: "TV", VOICE: "Voice", SNS: "SNS" },
    notMeasured: "Not measured yet",
    staleSince: (when) => `since ${when}`,
    perView: (cost) => `${cost} per view`,
    perConversion: (cost) => `${cost} per conversion`,
    plannedViews: (n) => `${n} planned`,
  },
};

export const channelsTexts = { ko, en };

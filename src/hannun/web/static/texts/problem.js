/** What went wrong. */

const ko = {
  problem: {
    title: "문제가 생겼어요",
    notLoaded: "지금은 불러오지 못했어요",
    forbiddenTitle: "이 화면은 볼 수 없어요",
    retry: "다시 해 보기",
    home: "이벤트 목록으로",
    start: "첫 화면으로",
    network: "서버에 닿지 않아요. 인터넷 연결을 확인해 주세요. 연결되면 저절로 이어져요.",
    rateLimited: "요청이 잠시 몰렸어요. 조금 뒤에 저절로 다시 해 볼게요.",
    unavailable: "서버가 잠시 쉬고 있어요. 조금 뒤에 저절로 다시 해 볼게요.",
    forbidden: "이 계정에는 이 화면을 볼 권한이 없어요. 다른 계정으로 로그인해 주세요.",
    eventNotFound: "이벤트를 찾을 수 없어요",
    eventNotFoundHint: "주소가 맞는지, 내 이벤트가 맞는지 확인해 주세요. 지워졌거나 다른 판매자의 이벤트일 수 있어요.",
    shareLinkInvalid: "이 링크로는 더 이상 볼 수 없어요",
    shareLinkInvalidHint: "기간이 끝났거나 링크를 만든 분이 닫았어요. 주소가 중간에 잘렸을 수도 있어요. 보내 준 분에게 새 링크를 부탁해 주세요.",
    merchantNotFound: "판매자를 찾을 수 없어요",
    merchantNotFoundHint: "판매자 ID가 맞는지 확인해 주세요. 내 이벤트는 이벤트 목록에 있어요.",
    pageNotFound: "없는 주소예요",
    pageNotFoundHint: "주소를 다시 확인하거나 이벤트 목록에서 골라 주세요.",
    other: "예상하지 못한 답을 받았어요. 잠시 뒤에 다시 해 보고, 이어지면 아래 코드를 알려 주세요.",
  },
};

/** @type {typeof ko} */
const en = {
  problem: {
    title: "Something went wrong",
    notLoaded: "This could not be loaded just now",
    forbiddenTitle: "You may not see this page",
    retry: "Try again",
    home: "To all events",
    start: "To the start page",
    network: "The server cannot be reached. Check your internet connection; the page carries on by itself once it is back.",
    rateLimited: "Too many requests for a moment. The page tries again by itself.",
    unavailable: "The server is resting for a moment. The page tries again by itself.",
    forbidden: "This account may not see this page. Sign in with another account.",
    eventNotFound: "Event not found",
    eventNotFoundHint: "Check the address, and that the event is yours. It may have been removed or belong to another merchant.",
    shareLinkInvalid: "This link no longer opens anything",
    shareLinkInvalidHint: "It has expired, or the person who made it has closed it. Part of the address may also be missing. Ask them for a new link.",
    merchantNotFound: "Merchant not found",
    merchantNotFoundHint: "Check the merchant's ID. Your own events are in the list of events.",
    pageNotFound: "There is no page here",
    pageNotFoundHint: "Check the address, or pick an event from the list.",
    other: "The answer was not one we expected. Try again in a moment; if it stays, tell us the code below.",
  },
};

export const problemTexts = { ko, en };

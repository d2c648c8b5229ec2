/** Texts of the sign-in form. */

const ko = {
  signIn: {
    title: "이벤트 성과를 한눈에",
    platformLead: "플랫폼에 로그인하면 바로 이어져요.",
    platform: "플랫폼으로 로그인",
    codeLead: "플랫폼에서 받은 로그인 주소를 열거나, 일회용 코드를 넣어 주세요.",
    codeLeadToo: "로그인 주소나 일회용 코드를 받았다면 여기에 넣어도 돼요.",
    code: {
      field: "일회용 코드",
      hint: "코드 대신 받은 주소를 통째로 붙여 넣어도 돼요. 코드는 한 번만, 10분 동안 쓸 수 있어요.",
      missing: "코드를 넣어 주세요.",
      rejected: "코드가 맞지 않거나, 이미 쓰였거나, 기간이 지났어요. 새 코드를 받아 다시 넣어 주세요.",
    },
    developers: "개발자용",
    developersLead: "연동을 시험하는 개발자를 위한 자리예요. 토큰을 받지 않았다면 위에서 로그인해 주세요.",
    token: {
      field: "접속 토큰",
      hint: "토큰은 이 기기의 주소창이나 기록에 남지 않아요. 로그인한 뒤에는 스크립트가 읽을 수 없는 쿠키로만 이어져요.",
      missing: "토큰을 넣어 주세요.",
      rejected: "토큰이 맞지 않거나 기간이 지났어요. 새 토큰을 받아 다시 넣어 주세요.",
    },
    operator: "이 서버를 운영한다면 이 명령으로 로그인 주소를 새로 받을 수 있어요:",
    folder: "폴더",
    submit: "로그인",
    checking: "확인하고 있어요",
    codeRejected: "이 주소의 일회용 코드는 이미 쓰였거나 기간이 지났어요. 주소나 코드를 새로 받아 주세요.",
    sessionEnded: "로그인이 끝났어요. 기간이 지났거나 다른 곳에서 로그아웃했어요. 다시 로그인하면 보던 화면으로 돌아가요.",
  },
};

/** @type {typeof ko} */
const en = {
  signIn: {
    title: "Your events, at a glance",
    platformLead: "Sign in on the platform, and you come straight back here.",
    platform: "Sign in on the platform",
    codeLead: "Open the sign-in address that the platform has sent you, or enter the one-time code.",
    codeLeadToo: "If you were given an address or a one-time code, it works here, too.",
    code: {
      field: "One-time code",
      hint: "You may paste the whole address in place of the code. A code works once, for 10 minutes.",
      missing: "Please enter the code.",
      rejected: "This code is not valid, was used already or has expired. Ask for a new one and enter it here.",
    },
    developers: "For developers",
    developersLead: "For developers who test their integration. If nobody gave you a token, sign in above.",
    token: {
      field: "Access token",
      hint: "The token stays out of the address bar and the history. Once you are signed in, a cookie that no script can read takes over.",
      missing: "Please paste a token.",
      rejected: "This token is not valid or has expired. Ask for a new one and paste it here.",
    },
    operator: "If you run this server, this command prints a new address that signs you in:",
    folder: "DIR",
    submit: "Sign in",
    checking: "Checking",
    codeRejected: "The one-time code in this address was used already or has expired. Ask for a new address or code.",
    sessionEnded: "Your session has ended: it expired, or was ended elsewhere. Sign in again to come back to where you were.",
  },
};

export const signInTexts = { ko, en };

"""The Korean messages of problem details, by their English template. A test finds missing ones."""

KOREAN: dict[str, str] = {
    # -- authentication
    "this needs a token: Authorization: Bearer <token>": "토큰이 필요합니다. Authorization: Bearer <토큰>",
    "the token has expired": "토큰이 만료되었습니다",
    "the token is longer than {length_max} characters": "토큰이 {length_max}자를 넘습니다",
    "the token is invalid: it names no key (kid)": "토큰이 유효하지 않습니다. 키 이름(kid)이 없습니다",
    "the token is invalid: it has no {claim}": "토큰이 유효하지 않습니다. {claim} 항목이 없습니다",
    "the token is invalid: its signature does not match": ("토큰이 유효하지 않습니다. 서명이 맞지 않습니다"),
    "the token is not valid yet: its nbf or iat is in the future": (
        "토큰이 아직 유효하지 않습니다. nbf나 iat가 미래입니다"
    ),
    "the token is invalid: it comes from another issuer (iss)": "토큰이 유효하지 않습니다. 발급자(iss)가 다릅니다",
    "the token is invalid: it is for another audience (aud)": "토큰이 유효하지 않습니다. 대상(aud)이 다릅니다",
    "the token is invalid: it cannot be decoded": "토큰이 유효하지 않습니다. 내용을 읽을 수 없습니다",
    "the token is invalid: its signature algorithm is not accepted here": (
        "토큰이 유효하지 않습니다. 지원하지 않는 서명 알고리즘입니다"
    ),
    "the token is invalid: its issuer does not publish this key": (
        "토큰이 유효하지 않습니다. 발급자가 공개하지 않은 키입니다"
    ),
    "the token is invalid: its sub or roles claim is malformed": "토큰의 sub 또는 roles가 올바르지 않습니다",
    "this sign-in code is unknown, used or expired: `hannun sign-in-code` prints a new one": (
        "알 수 없거나 이미 쓰였거나 만료된 로그인 코드입니다. `hannun sign-in-code`로 새 코드를 만들 수 있습니다"
    ),
    "this session has ended: sign in with a new token": "로그아웃된 세션입니다. 새 토큰으로 로그인해 주세요",
    "a share link cannot rebuild an answer: leave out refresh": (
        "공유 링크로는 볼 수만 있고 다시 계산할 수 없습니다. refresh 없이 요청해 주세요"
    ),
    "a code for an administrator needs the role ADMIN": "관리자의 로그인 코드를 만들려면 ADMIN 역할이 필요합니다",
    "this needs the role MERCHANT or ADMIN": "MERCHANT 또는 ADMIN 역할이 필요합니다",
    "this needs the role ADMIN": "ADMIN 역할이 필요합니다",
    "the list of all events needs the role ADMIN": "모든 이벤트 목록은 ADMIN 역할이 필요합니다",
    "the token has no role that is known here": "토큰에 이 서비스에서 쓰는 역할이 없습니다",
    "sending messages needs a bearer token with the role SERVICE or ADMIN": (
        "메시지를 보내려면 SERVICE 또는 ADMIN 역할이 있는 Bearer 토큰이 필요합니다"
    ),
    "a page of another origin cannot do this with the cookies of this one": (
        "다른 출처의 페이지에서는 이 사이트의 쿠키로 이 작업을 할 수 없습니다"
    ),
    "the body must be sent as application/json": "본문은 application/json 형식으로 보내야 합니다",
    "more than {count_max} requests a minute": "1분에 {count_max}건까지 요청할 수 있습니다",
    "too many live streams are open at the same time": "동시에 열 수 있는 실시간 연결 수를 넘었습니다",
    # -- connections
    "this is not a request of HTTP/1.1": "HTTP/1.1 요청이 아닙니다",
    "the request line and headers are too long": "요청 줄과 헤더가 너무 깁니다",
    "the request line and headers did not arrive in time": "요청 줄과 헤더가 제시간에 도착하지 않았습니다",
    "the body did not arrive in time": "본문이 제시간에 도착하지 않았습니다",
    "too many connections are open": "열린 연결이 너무 많습니다",
    "too many connections of your address are open": "이 주소에서 열린 연결이 너무 많습니다",
    # -- files
    "the view has no table {table}: use one of {tables}": "이 화면에는 {table} 표가 없습니다. 있는 표: {tables}",
    "a document has no tables: leave out {field}": "문서에는 고를 표가 없습니다. {field} 없이 요청해 주세요",
    "a workbook holds all tables: leave out table, or ask for csv": (
        "엑셀 파일에는 모든 표가 들어 있습니다. table을 빼거나 csv로 요청해 주세요"
    ),
    "{format} is not installed here; install it on the server with: {hint}": (
        "여기서는 {format} 파일을 만들 수 없습니다. 서비스가 실행되는 곳에서: {hint}"
    ),
    "a file holds all events: leave out {field}": "파일에는 모든 이벤트가 들어 있습니다. {field} 없이 요청해 주세요",
    "the server's disk for files is full": "서버에 파일을 만들 공간이 없습니다",
    "too many exports at the same time": "동시에 만들 수 있는 파일 수를 넘었습니다",
    # -- parameters
    "{field} is not a parameter here; known: {known}": "{field}: 없는 매개변수입니다. 쓸 수 있는 것: {known}",
    "{field} is given more than once": "{field}: 한 번만 쓸 수 있습니다",
    "{field} is missing": "{field}: 꼭 필요합니다",
    "{field}: at least {min_length} characters": "{field}: {min_length}자 이상이어야 합니다",
    "{field}: at most {max_length} characters": "{field}: {max_length}자까지 쓸 수 있습니다",
    "{field}: must have the form {pattern}": "{field}: {pattern} 형식이어야 합니다",
    "{field}: must be {expected}": "{field}: {expected} 중 하나여야 합니다",
    "{field}: must be true or false": "{field}: true 또는 false여야 합니다",
    "{field}: must be a whole number": "{field}: 정수여야 합니다",
    "{field}: at least {ge}": "{field}: {ge} 이상이어야 합니다",
    "{field}: at most {le}": "{field}: {le} 이하여야 합니다",
    "{field} cannot be read": "{field}: 읽을 수 없는 값입니다",
    "{field}: 1 to {length_max} characters, and none of them NUL": (
        "{field}: 1자에서 {length_max}자까지이며 NUL 문자는 쓸 수 없습니다"
    ),
    "{field}: up to {length_max} characters, and none of them NUL": (
        "{field}: {length_max}자까지이며 NUL 문자는 쓸 수 없습니다"
    ),
    "{field} has an empty entry": "{field}에 빈 항목이 있습니다",
    "{field} has more than {count_max} entries: send fewer": (
        "{field}에는 {count_max}개까지 쓸 수 있습니다. 줄여서 요청해 주세요"
    ),
    "no event belongs to the merchant {name!r}: use the userId of a listed event": (
        "{name!r}: 이벤트가 하나도 없는 판매자입니다. 목록에 있는 userId를 써 주세요"
    ),
    "no channel is named {name!r}: use the name of a channel of these events": (
        "{name!r}: 없는 채널입니다. 이 이벤트의 채널 이름을 쓰세요"
    ),
    "no metric is named {name!r}: use one of {known}": "{name!r}: 없는 지표입니다. 쓸 수 있는 것: {known}",
    "the cursor is not valid: send nextCursor unchanged": (
        "이 서비스의 커서가 아닙니다. 받은 nextCursor를 그대로 써 주세요"
    ),
    # -- time
    "no zone is named {name!r}: give an IANA name, as in Asia/Seoul": (
        "{name!r}: 없는 시간대입니다. Asia/Seoul 같은 IANA 이름을 써 주세요"
    ),
    "{field} has no offset from UTC: add one, as in +09:00 or Z": (
        "{field}에 UTC 오프셋이 없습니다. +09:00 또는 Z처럼 붙여 주세요"
    ),
    "{field} is before 1970 or after 9997": "{field}: 1970년부터 9997년까지만 쓸 수 있습니다",
    "these totals cannot be taken ({reason}): give whole numbers from 0, not more completed calls than calls": (
        "이 숫자는 저장할 수 없습니다 ({reason}). 0 이상의 정수로, 완료 통화는 전체 통화보다 크지 않게 보내 주세요"
    ),
    "{channel} is measured through its API: its totals cannot be typed": (
        "{channel}: API로 측정되는 채널이라 직접 입력할 수 없습니다"
    ),
    "{field} must be a past instant, at most {days} days ago": "{field}: 지난 {days}일 안의 과거 시각이어야 합니다",
    "there is no channel of this name": "그런 이름의 채널이 없습니다",
    "{field} is not an ISO 8601 instant with an offset": "{field}: 오프셋이 있는 ISO 8601 시각이 아닙니다",
    "{field} is neither an ISO 8601 instant with an offset nor a date": (
        "{field}: 오프셋이 있는 ISO 8601 시각도 날짜도 아닙니다"
    ),
    "startDate is not before endDate": "startDate가 endDate보다 앞이어야 합니다",
    "the range is longer than {days_max} days: ask for a shorter one": (
        "기간은 {days_max}일까지 조회할 수 있습니다. 줄여서 요청해 주세요"
    ),
    "the range is longer than {days_max} days: give startDate and endDate": (
        "기간은 {days_max}일까지 조회할 수 있습니다. startDate와 endDate를 모두 지정해 주세요"
    ),
    "the answer would have more than {count_max} points: ask for a shorter range or a coarser granularity": (
        "데이터는 {count_max}개까지 조회할 수 있습니다. 기간을 줄이거나 더 큰 단위(granularity)로 요청해 주세요"
    ),
    "until is not within the next {days_max} days": "until은 앞으로 {days_max}일 안이어야 합니다",
    # -- bodies
    "a sign-in is a JSON object with a token or a code": "로그인 본문은 token 또는 code가 있는 JSON 객체여야 합니다",
    "the body must be JSON like {form}": "본문은 다음과 같은 JSON이어야 합니다: {form}",
    "the body is encoded as {found}: send it as it is, or packed once by one of {accepted}": (
        "본문의 압축 방식이 {found}입니다. 압축하지 않거나 {accepted} 중 하나로 한 번만 압축해 주세요"
    ),
    "the body cannot be unpacked: it is broken, cut off, or not {encoding}": (
        "본문의 압축을 풀 수 없습니다. 손상되었거나 잘렸거나 {encoding} 형식이 아닙니다"
    ),
    "the body has more than {bytes_max} bytes, the maximum: send it in parts": (
        "본문은 {bytes_max}바이트까지 받습니다. 나누어 보내 주세요"
    ),
    "the body has {count} messages, and at most {count_max} are taken: send it in parts": (
        "메시지가 {count}건입니다. 한 번에 {count_max}건까지 받습니다. 나누어 보내 주세요"
    ),
    "the body is neither a JSON object nor a JSON array": "본문이 JSON 객체도 배열도 아닙니다",
    "the body is not JSON ({found})": "본문이 JSON이 아닙니다 ({found})",
    "the body is not JSON: something follows its end": "본문이 JSON이 아닙니다. 끝난 뒤에 다른 내용이 있습니다",
    "the body is not JSON: its brackets do not close": "본문이 JSON이 아닙니다. 괄호가 닫히지 않았습니다",
    "too many bodies wait to be counted: send it again later": (
        "집계를 기다리는 요청이 너무 많습니다. 잠시 후 다시 보내 주세요"
    ),
    "this event has {count_max} active links already, the maximum: revoke one first": (
        "이 이벤트를 여는 링크가 이미 {count_max}개입니다. 먼저 하나를 해지해 주세요"
    ),
}

//! What a request shows of who sends it, beside the auth payload: cookies, the header `Authorization`, and
//! what its query says beside the protocol.

use crate::ground::handshake::Handshake;

/// Cookies that load balancers and statistics set, some of them anew while a page is open.
const CHANGING: [&str; 12] = [
    "__cf_bm",
    "__cflb",
    "_cfuvid",
    "_ga",
    "_gat",
    "_gid",
    "ARRAffinity",
    "ARRAffinitySameSite",
    "GCLB",
    "INGRESSCOOKIE",
    "SERVERID",
    "route",
];
/// Beginnings of the names of such cookies.
const CHANGING_BEGINNINGS: [&str; 5] = ["AWSALB", "AWSELB", "BIGipServer", "_ga_", "_gat_"];
/// Parameters of the protocol: revision, transport, session, and how the client takes its answers.
const PROTOCOL: [&str; 5] = ["EIO", "transport", "sid", "j", "b64"];
/// What keeps caches away from polls. Elsewhere it may be a token.
const TIMESTAMP: &str = "t";

/// Whether a cookie is known to say nothing about who somebody is.
pub(super) fn changes_by_itself(cookie: &str) -> bool {
    CHANGING.contains(&cookie)
        || CHANGING_BEGINNINGS.iter().any(|beginning| cookie.starts_with(beginning))
}

/// The values of `Authorization`, of those cookies that count, and of the query, in an order of their own: that
/// of cookies changes when one of them is set again.
pub(crate) fn credentials(handshake: &Handshake, counts: impl Fn(&str) -> bool) -> Vec<u8> {
    let mut pieces: Vec<(u8, &[u8])> = Vec::new();
    for (name, value) in handshake.headers() {
        match name {
            "authorization" => pieces.push((b'a', value)),
            // HTTP/2 may send each in a header of its own.
            "cookie" => {
                let cookies = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
                for cookie in cookies.filter(|cookie| !cookie.is_empty()) {
                    let end = cookie.iter().position(|byte| *byte == b'=').unwrap_or(0);
                    // A name that is no text is none that anybody has listed.
                    if counts(std::str::from_utf8(&cookie[..end]).unwrap_or_default()) {
                        pieces.push((b'c', cookie));
                    }
                }
            }
            _ => {}
        }
    }
    let pairs = || handshake.query_string().split('&').filter(|pair| !pair.is_empty());
    let polls = pairs().any(|pair| pair == "transport=polling");
    for pair in pairs() {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        let is_of_the_protocol = PROTOCOL.contains(&name) || polls && name == TIMESTAMP;
        if !is_of_the_protocol {
            pieces.push((b'q', pair.as_bytes()));
        }
    }
    pieces.sort_unstable();
    let mut credentials = Vec::new();
    for (kind, value) in pieces {
        credentials.push(kind);
        credentials.extend_from_slice(value);
        // Neither headers nor queries have it in them.
        credentials.push(0);
    }
    credentials
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::handshake::tests::handshake;

    fn of(headers: &[(&str, &str)]) -> Vec<u8> {
        of_request("", headers)
    }

    fn of_request(query: &str, headers: &[(&str, &str)]) -> Vec<u8> {
        let counts = |cookie: &str| cookie != "io" && !changes_by_itself(cookie);
        credentials(&handshake(query, headers), counts)
    }

    /// Some frameworks name the cookie of a session `_` and the name of the program.
    #[test]
    fn a_session_whose_cookie_begins_as_one_of_statistics_counts() {
        for name in
            ["_gallery_session", "_game_key", "_gateway", "_gideon", "_ga4", "__cf_bmx", "routes"]
        {
            assert!(!changes_by_itself(name), "{name}");
        }
        for name in ["_ga", "_ga_1AB", "_gat_gtag", "AWSALBTGCORS", "BIGipServerpool", "GCLB"] {
            assert!(changes_by_itself(name), "{name}");
        }
    }

    #[test]
    fn a_token_in_the_query_is_somebody_and_what_the_protocol_says_there_is_not() {
        let alice = of_request("EIO=4&transport=polling&t=abc&token=a", &[]);
        assert_eq!(alice, of_request("token=a&EIO=4&transport=websocket&sid=x&b64=1", &[]));
        assert_ne!(alice, of_request("EIO=4&transport=polling&token=b", &[]));
        assert_ne!(alice, of_request("EIO=4&transport=polling", &[]));
        assert!(of_request("EIO=4&&transport=polling&t", &[]).is_empty());
    }

    #[test]
    fn what_keeps_caches_away_from_polls_is_a_parameter_like_others_elsewhere() {
        let alice = of_request("EIO=4&transport=websocket&t=a", &[]);
        assert_ne!(alice, of_request("EIO=4&transport=websocket&t=b", &[]));
        assert_ne!(alice, of_request("EIO=4&transport=websocket", &[]));
    }

    #[test]
    fn the_order_is_no_matter() {
        let headers = [("cookie", "a=1; b=2"), ("authorization", "x")];
        let alice = of_request("p=1&q=2&transport=polling", &headers);
        for cookies in [&["b=2; a=1"][..], &["a=1", "b=2"], &["b=2", "a=1"]] {
            let mut headers = vec![("authorization", "x")];
            headers.extend(cookies.iter().map(|cookies| ("cookie", *cookies)));
            assert_eq!(of_request("transport=polling&q=2&p=1", &headers), alice, "{cookies:?}");
        }
        assert_ne!(of(&[("cookie", "a=1; a=1")]), of(&[("cookie", "a=1")]));
    }

    #[test]
    fn what_changes_by_itself_and_what_others_say_does_not_count() {
        let alone = of(&[("cookie", "session=a")]);
        assert!(!alone.is_empty());
        for same in
            ["io=1; session=a", "_ga_X=1;session=a; AWSALBCORS=x", " session=a ;; __cf_bm=y"]
        {
            assert_eq!(of(&[("cookie", same), ("user-agent", "x")]), alone, "{same}");
        }
        assert_eq!(of(&[("cookie", "_gid=1"), ("cookie", "session=a")]), alone);
        for other in ["session=b", "session=a; x=y", "session", "Session=a", "session=aa"] {
            assert_ne!(of(&[("cookie", other)]), alone, "{other}");
        }
    }

    #[test]
    fn who_is_named_by_a_header_is_somebody() {
        let alice = of(&[("authorization", "Bearer a")]);
        assert_ne!(alice, of(&[("authorization", "Bearer b")]));
        assert_ne!(alice, of(&[("cookie", "Bearer a")]));
        assert_ne!(alice, of(&[]));
        assert_ne!(of(&[("cookie", "a=b"), ("cookie", "c")]), of(&[("cookie", "a=bcc")]));
    }
}

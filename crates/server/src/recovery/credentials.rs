//! What a browser shows by itself of who its visitor is: cookies, and the header `Authorization`.

use crate::handshake::Handshake;

/// Beginnings of the names of cookies that load balancers and statistics set anew while a page is open.
const CHANGING: [&str; 6] = ["AWSALB", "__cf_bm", "_cfuvid", "_ga", "_gid", "_gat"];

/// Whether a cookie is known to change while a page is open.
pub(super) fn changes_by_itself(cookie: &str) -> bool {
    CHANGING.iter().any(|beginning| cookie.starts_with(beginning))
}

/// The values of `Authorization` and of those cookies that count, as they were sent.
pub(crate) fn credentials(handshake: &Handshake, counts: impl Fn(&str) -> bool) -> Vec<u8> {
    let mut credentials = Vec::new();
    for (name, value) in handshake.headers() {
        match name {
            "authorization" => add(&mut credentials, b'a', value),
            // HTTP/2 may send each in a header of its own.
            "cookie" => {
                let cookies = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
                for cookie in cookies.filter(|cookie| !cookie.is_empty()) {
                    let end = cookie.iter().position(|byte| *byte == b'=').unwrap_or(0);
                    // A name that is no text is none that anybody has listed.
                    if counts(std::str::from_utf8(&cookie[..end]).unwrap_or_default()) {
                        add(&mut credentials, b'c', cookie);
                    }
                }
            }
            _ => {}
        }
    }
    credentials
}

/// Headers have no zero byte in them.
fn add(credentials: &mut Vec<u8>, kind: u8, value: &[u8]) {
    credentials.push(kind);
    credentials.extend_from_slice(value);
    credentials.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::tests::handshake;

    fn of(headers: &[(&str, &str)]) -> Vec<u8> {
        let counts = |cookie: &str| cookie != "io" && !changes_by_itself(cookie);
        credentials(&handshake("", headers), counts)
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

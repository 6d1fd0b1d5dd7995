//! The JavaScript client, served below the path of the server as the official server does:
//! `/socket.io/socket.io.js`, `.min.js`, `.esm.min.js`, `.msgpack.min.js`, and the map of each.
//!
//! The files are those of the npm package, unchanged, put into the program by `build.rs`.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode, Uri};

use crate::body::Body;
use crate::door::{plain, with_type};

/// One file, as it is and compressed.
pub(crate) struct File {
    name: &'static str,
    plain: &'static [u8],
    brotli: &'static [u8],
    gzip: &'static [u8],
}

/// What is asked for.
pub(crate) enum Wanted {
    Found(&'static File),
    /// The name is one of the client's, but the program was built without it.
    Missing,
}

#[cfg(feature = "bundle")]
mod files {
    use super::File;
    include!(concat!(env!("OUT_DIR"), "/bundle_files.rs"));
    pub(super) const fn all() -> (&'static [File], Option<&'static str>) {
        (FILES, VERSION)
    }
}

#[cfg(not(feature = "bundle"))]
mod files {
    use super::File;
    pub(super) const fn all() -> (&'static [File], Option<&'static str>) {
        (&[], None)
    }
}

/// What a page is told when the program holds no client.
const MISSING: &str = "\
The JavaScript client is not here: this program was built without it.

To build it in: run `npm ci` in crates/server/bundle (`make run` does that), with the cargo feature
`bundle` on, and build again. Or take the client from the npm package socket.io-client.
";

/// The version of the client that is built in.
pub(crate) const fn version() -> Option<&'static str> {
    files::all().1
}

/// The file that a request asks for, by the last part of its path; `None` for other requests.
pub(crate) fn wanted(uri: &Uri, method: &Method, serve: bool) -> Option<Wanted> {
    if !serve || !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let name = uri.path().rsplit('/').next()?;
    let script = name.strip_suffix(".map").unwrap_or(name);
    let known =
        ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js"];
    if !known.contains(&script) {
        return None;
    }
    let found = files::all().0.iter().find(|file| file.name == name);
    Some(found.map_or(Wanted::Missing, Wanted::Found))
}

/// Answers with a file.
pub(crate) fn answer(wanted: Wanted, headers: &HeaderMap) -> Response<Body> {
    let (file, Some(version)) = (match wanted {
        Wanted::Found(file) => (file, version()),
        Wanted::Missing => return missing(),
    }) else {
        return missing();
    };
    let etag = format!("\"{version}\"");
    if is_known(headers, &etag) {
        return with_etag(plain(StatusCode::NOT_MODIFIED), &etag);
    }
    let (encoding, bytes) = choose(file, headers);
    let content_type = if file.name.ends_with(".map") {
        "application/json; charset=utf-8"
    } else {
        "application/javascript; charset=utf-8"
    };
    let body = bytes::Bytes::from_static(bytes).into();
    let mut response = with_etag(with_type(StatusCode::OK, content_type, body), &etag);
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

fn missing() -> Response<Body> {
    with_type(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", MISSING.into())
}

fn with_etag(mut response: Response<Body>, etag: &str) -> Response<Body> {
    let headers = response.headers_mut();
    let revalidate = HeaderValue::from_static("public, max-age=0");
    headers.insert(header::CACHE_CONTROL, revalidate);
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}

/// Whether the browser has this version, by a strong or a weak tag.
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.unwrap_or_default().split(',').any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}

/// The best form that the browser takes: br, then gzip, then as it is.
fn choose(file: &'static File, headers: &HeaderMap) -> (Option<&'static str>, &'static [u8]) {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let takes = |name: &str| {
        accepted.unwrap_or_default().split(',').any(|part| {
            let (encoding, quality) = part.split_once(';').unwrap_or((part, ""));
            let refused = matches!(quality.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
            encoding.trim().eq_ignore_ascii_case(name) && !refused
        })
    };
    if takes("br") {
        (Some("br"), file.brotli)
    } else if takes("gzip") {
        (Some("gzip"), file.gzip)
    } else {
        (None, file.plain)
    }
}

//! The JavaScript client, served below the path of the server as the official server does:
//! `/socket.io/socket.io.js`, `.min.js`, `.esm.min.js`, `.msgpack.min.js`, and the map of each.
//!
//! The files are those of the npm package, unchanged, put into the program by `build.rs`.

use http::StatusCode;
use http::header::{self, HeaderValue};

use crate::answer::Answer;
use crate::head::Head;

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
pub(crate) fn wanted(head: &Head<'_>, serve: bool) -> Option<Wanted> {
    if !serve || !matches!(head.method, "GET" | "HEAD") {
        return None;
    }
    let name = head.path.rsplit('/').next()?;
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
pub(crate) fn answer(wanted: Wanted, head: &Head<'_>) -> Answer {
    let (file, Some(version)) = (match wanted {
        Wanted::Found(file) => (file, version()),
        Wanted::Missing => return missing(),
    }) else {
        return missing();
    };
    let etag = format!("\"{version}\"");
    let tagged = |answer: Answer| {
        answer.cache("public, max-age=0").with_bytes(header::ETAG, etag.as_bytes())
    };
    if is_known(head, &etag) {
        return tagged(Answer::empty(StatusCode::NOT_MODIFIED));
    }
    let (encoding, bytes) = choose(file, head);
    let content_type = if file.name.ends_with(".map") {
        "application/json; charset=utf-8"
    } else {
        "application/javascript; charset=utf-8"
    };
    let answer = tagged(Answer::new(StatusCode::OK, content_type, bytes))
        .with(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    match encoding {
        Some(encoding) => answer.with(header::CONTENT_ENCODING, HeaderValue::from_static(encoding)),
        None => answer,
    }
}

fn missing() -> Answer {
    Answer::new(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", MISSING)
}

/// Whether the browser has this version, by a strong or a weak tag.
fn is_known(head: &Head<'_>, etag: &str) -> bool {
    let known = head.text("if-none-match");
    known.unwrap_or_default().split(',').any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}

/// The best form that the browser takes: br, then gzip, then as it is.
fn choose(file: &'static File, head: &Head<'_>) -> (Option<&'static str>, &'static [u8]) {
    let accepted = head.text("accept-encoding");
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

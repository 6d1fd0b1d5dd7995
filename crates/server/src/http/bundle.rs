//! The JavaScript client, served below the path of the server as the official server does:
//! `/socket.io/socket.io.js`, `.min.js`, `.esm.min.js`, `.msgpack.min.js`, and the map of each.
//!
//! The files are those of the npm package, unchanged, put into the program by `build.rs`, or found in
//! a directory. There are eight names and no others, so nobody can ask for anything else.

use std::fs::File as DiskFile;
use std::hash::BuildHasher as _;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use foldhash::quality::FixedState;
use http::StatusCode;
use http::header::{self, HeaderValue};

use crate::http::answer::Answer;
use crate::http::head::Head;

/// Whether the JavaScript client is served below the path of the server, and from where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "serveClient")]
pub enum ServeClient {
    /// It is not served.
    No,
    /// The one that was built into the program. The default.
    #[default]
    Embedded,
    /// The files that are in this directory when they are asked for, such as `dist` of the npm package
    /// `socket.io-client`. Only its eight names are served, each with up to 4 MiB. Where there is a
    /// file of the same name with `.br` or `.gz` behind it, browsers that take that get that; it must
    /// have the same content. Links are followed.
    Directory(PathBuf),
}

impl From<bool> for ServeClient {
    /// `true` is [`ServeClient::Embedded`].
    fn from(serve: bool) -> Self {
        if serve { Self::Embedded } else { Self::No }
    }
}

/// Bytes of a file in a directory. The largest of the client has a tenth of that.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The names without those of the maps, which have `.map` behind them.
const SCRIPTS: [&str; 4] =
    ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js"];

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
    /// It is to be [read](read) from a directory.
    OnDisk(Box<OnDisk>),
}

/// A file in a directory, and what the browser takes of it.
pub(crate) struct OnDisk {
    path: PathBuf,
    is_map: bool,
    brotli: bool,
    gzip: bool,
    known: Option<String>,
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

A program that depends on the repository serves it from a directory: ServeClient::Directory, with
`dist` of the npm package socket.io-client. In a checkout of the repository it is built in after
`npm ci` in crates/server/bundle (`make run` does that), with the cargo feature `bundle` on.
";

/// What a page is told when the directory does not have the file.
const NOT_FOUND: &str = "This file of the JavaScript client is not here.\n";

/// The version of the client that is built in.
pub(crate) const fn version() -> Option<&'static str> {
    files::all().1
}

/// The file that a request asks for, by the last part of its path; `None` for other requests.
pub(crate) fn wanted(head: &Head<'_>, serve: &ServeClient) -> Option<Wanted> {
    if *serve == ServeClient::No || !matches!(head.method, "GET" | "HEAD") {
        return None;
    }
    let name = head.path.rsplit('/').next()?;
    let (script, is_map) = match name.strip_suffix(".map") {
        Some(script) => (script, true),
        None => (name, false),
    };
    // Ours, not the one of the request: it becomes part of a path.
    let script = SCRIPTS.into_iter().find(|known| *known == script)?;
    if let ServeClient::Directory(directory) = serve {
        return Some(Wanted::OnDisk(Box::new(OnDisk {
            path: directory.join(if is_map { format!("{script}.map") } else { script.to_owned() }),
            is_map,
            brotli: takes(head, "br"),
            gzip: takes(head, "gzip"),
            known: head.text("if-none-match").map(str::to_owned),
        })));
    }
    let found = files::all().0.iter().find(|file| file.name == name);
    Some(found.map_or(Wanted::Missing, Wanted::Found))
}

/// Answers with a file that is in the program.
pub(crate) fn answer(file: &'static File, head: &Head<'_>) -> Answer {
    let Some(version) = version() else {
        return missing();
    };
    // The best form that the browser takes: br, then gzip, then as it is.
    let (encoding, bytes) = if takes(head, "br") {
        (Some("br"), file.brotli)
    } else if takes(head, "gzip") {
        (Some("gzip"), file.gzip)
    } else {
        (None, file.plain)
    };
    let form = Form { is_map: file.name.ends_with(".map"), encoding, bytes: bytes.into() };
    form.answer(&format!("\"{version}\""), head.text("if-none-match"))
}

/// Answers with a file of a directory, which is read on a thread that may wait for it.
pub(crate) async fn read(file: Box<OnDisk>) -> Answer {
    let reading = tokio::task::spawn_blocking(move || match file.find() {
        Ok(form) => {
            let tag = format!("\"{:016x}\"", FixedState::default().hash_one(&*form.bytes));
            form.answer(&tag, file.known.as_deref())
        }
        Err(error) => {
            tracing::warn!(path = %file.path.display(), %error, "a file of the client is not there");
            Answer::new(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", NOT_FOUND)
        }
    });
    // Fails when the runtime is ending.
    reading.await.unwrap_or_else(|_| Answer::empty(StatusCode::SERVICE_UNAVAILABLE))
}

impl OnDisk {
    /// Finds the best form that there is and that the browser takes.
    fn find(&self) -> io::Result<Form> {
        let form = |encoding, bytes| Form { is_map: self.is_map, encoding, bytes };
        for (takes, encoding, suffix) in [(self.brotli, "br", ".br"), (self.gzip, "gzip", ".gz")] {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            if let Some(bytes) = takes.then(|| read_bounded(path.as_ref()).ok()).flatten() {
                return Ok(form(Some(encoding), bytes));
            }
        }
        Ok(form(None, read_bounded(&self.path)?))
    }
}

/// Reads a file, and nothing that only looks like one and never ends.
fn read_bounded(path: &Path) -> io::Result<Bytes> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut bytes = Vec::new();
    DiskFile::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("too large"));
    }
    Ok(bytes.into())
}

/// A file as it is sent.
struct Form {
    is_map: bool,
    encoding: Option<&'static str>,
    bytes: Bytes,
}

impl Form {
    /// With that tag, to a browser that knows those.
    fn answer(self, etag: &str, known: Option<&str>) -> Answer {
        let tagged = |answer: Answer| {
            answer
                .cache("public, max-age=0")
                .with_bytes(header::ETAG, etag.as_bytes())
                .with(header::VARY, HeaderValue::from_static("Accept-Encoding"))
        };
        if is_known(known, etag) {
            return tagged(Answer::empty(StatusCode::NOT_MODIFIED));
        }
        let content_type = if self.is_map {
            "application/json; charset=utf-8"
        } else {
            "application/javascript; charset=utf-8"
        };
        let answer = tagged(Answer::new(StatusCode::OK, content_type, self.bytes));
        match self.encoding {
            Some(name) => answer.with(header::CONTENT_ENCODING, HeaderValue::from_static(name)),
            None => answer,
        }
    }
}

/// Answers that the program was built without the client.
pub(crate) fn missing() -> Answer {
    Answer::new(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", MISSING)
}

/// Whether the browser has this version, by a strong or a weak tag.
fn is_known(known: Option<&str>, etag: &str) -> bool {
    known.unwrap_or_default().split(',').any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}

/// Whether the browser takes an encoding.
fn takes(head: &Head<'_>, name: &str) -> bool {
    head.text("accept-encoding").unwrap_or_default().split(',').any(|part| {
        let (encoding, quality) = part.split_once(';').unwrap_or((part, ""));
        let refused = matches!(quality.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
        encoding.trim().eq_ignore_ascii_case(name) && !refused
    })
}

//! [`Cors`]: what a browser is told about pages of other origins.

use std::fmt;
use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderName,
    HeaderValue, VARY,
};
use http::{Method, StatusCode};

use crate::http::answer::Answer;
use crate::http::head::Head;
use crate::http::origin::origins::Origins;
use crate::http::settings::HttpSettings;
use crate::http::site::Site;

/// What a browser is told about pages of other origins, where [`Origins`] lets them connect.
///
/// An origin that may connect is named in the answer, with credentials; for [`Origins::Any`] the
/// answer is `*`, which browsers take only without credentials, so there are never any.
///
/// A preflight is answered by the server itself, or by [`Builder::on_request`]: nothing stands
/// behind it that could.
///
/// [`Builder::on_request`]: crate::Builder::on_request
#[derive(Clone, PartialEq, Eq)]
#[must_use = "it does nothing until it is given to a builder"]
pub struct Cors {
    methods: HeaderValue,
    /// Without them, whatever is asked for.
    allowed_headers: Option<HeaderValue>,
    exposed_headers: Option<HeaderValue>,
    credentials: bool,
    max_age: Option<HeaderValue>,
    status: StatusCode,
}

impl Cors {
    /// The default settings.
    pub const fn new() -> Self {
        Self {
            methods: HeaderValue::from_static("GET,POST"),
            allowed_headers: None,
            exposed_headers: None,
            credentials: true,
            max_age: None,
            status: StatusCode::NO_CONTENT,
        }
    }

    /// Methods that a preflight allows. Default `GET` and `POST`, which are all that clients need.
    /// What cannot be a method is left out, which is logged.
    pub fn methods<'a>(mut self, methods: impl IntoIterator<Item = &'a str>) -> Self {
        let is_method = |name: &str| Method::from_bytes(name.as_bytes()).is_ok();
        self.methods = list(methods, "a method", is_method);
        self
    }

    /// Request headers that a preflight allows. Default: those that it asks for. What cannot be the
    /// name of a header is left out, which is logged.
    #[doc(alias = "allowedHeaders")]
    pub fn allowed_headers<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.allowed_headers = Some(list(names, "the name of a header", is_name));
        self
    }

    /// Headers of answers that pages may read. Default none but those that they always may. What
    /// cannot be the name of a header is left out, which is logged.
    #[doc(alias = "exposedHeaders")]
    pub fn exposed_headers<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.exposed_headers = Some(list(names, "the name of a header", is_name));
        self
    }

    /// Whether pages of origins that are named may send cookies and the like. Default yes. For
    /// [`Origins::Any`] they never may.
    pub const fn credentials(mut self, credentials: bool) -> Self {
        self.credentials = credentials;
        self
    }

    /// How long a browser may keep the answer to a preflight, in whole seconds. Default: it is not
    /// told, and takes 5 s.
    #[doc(alias = "maxAge")]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(HeaderValue::from(age.as_secs()));
        self
    }

    /// The status of the answer to a preflight. Default 204; 200 for browsers that do not know it.
    /// One that is no success is not taken, which is logged.
    #[doc(alias = "optionsSuccessStatus")]
    pub fn preflight_status(mut self, status: StatusCode) -> Self {
        if status.is_success() {
            self.status = status;
        } else {
            tracing::error!(%status, "a preflight is answered with a success, or it fails");
        }
        self
    }
}

impl Default for Cors {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Cors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cors")
            .field("methods", &self.methods)
            .field("allowed_headers", &self.allowed_headers)
            .field("exposed_headers", &self.exposed_headers)
            .field("credentials", &self.credentials)
            .field("max_age", &self.max_age)
            .field("preflight_status", &self.status)
            .finish()
    }
}

fn is_name(name: &str) -> bool {
    HeaderName::from_bytes(name.as_bytes()).is_ok()
}

/// Names as the value of a header.
fn list<'a>(
    names: impl IntoIterator<Item = &'a str>,
    what: &str,
    fits: impl Fn(&str) -> bool,
) -> HeaderValue {
    let mut text = String::new();
    for name in names {
        if fits(name) {
            text.push_str(if text.is_empty() { "" } else { "," });
            text.push_str(name);
        } else {
            tracing::error!(?name, "left out of Cors: it cannot be {what}");
        }
    }
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// What the server thinks of the page that a request comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin<'a> {
    /// The request names none.
    Absent,
    /// The request names none either, but the browser says that it comes from a page of this other site.
    Elsewhere(&'a str),
    /// It may connect.
    Allowed(&'a str),
    Refused(&'a str),
    /// It is not text, or comes more than once.
    Malformed(&'a [u8]),
}

impl<'a> Origin<'a> {
    pub(crate) fn of(site: &Site, head: &Head<'a>) -> Self {
        let Some(first) = head.header("origin") else {
            return Self::by_site(site, head);
        };
        let Some(origin) = head.only_text("origin") else {
            return Self::Malformed(first);
        };
        let allow = || site.settings.allows(origin, head);
        if site.guarded("the rule of the origins", allow) == Some(true) {
            Self::Allowed(origin)
        } else {
            Self::Refused(origin)
        }
    }

    /// Of a request that names no origin, as one for an image or a script does, and any that a program
    /// sends that is no browser. Browsers say then from which site it is, where the host is a secure one.
    /// That is not enough to look for in a list.
    fn by_site(site: &Site, head: &Head<'a>) -> Self {
        if site.settings.origins == Origins::Any {
            return Self::Absent;
        }
        if head.text("sec-fetch-mode") == Some("cors") {
            // A browser that guards its pages names the origin of every such request to another site. In this
            // one the page may do whatever it likes: a file in Electron, a WebView with access to everything.
            return Self::Absent;
        }
        match head.text("sec-fetch-site") {
            Some(site @ ("cross-site" | "same-site")) => Self::Elsewhere(site),
            // Without it, with `same-origin`, and with `none`: the visitor typed the address. What there
            // is not counts as nothing, as the specification has it.
            _ => Self::Absent,
        }
    }
}

/// What an answer says to the browser, whatever else it says.
pub(crate) enum CorsHeaders {
    Nothing,
    /// A page of another origin would be answered something else.
    Varies {
        always: bool,
    },
    Any,
    Origin(HeaderValue),
}

impl CorsHeaders {
    pub(crate) fn new(origins: &Origins, origin: Origin<'_>) -> Self {
        match origin {
            Origin::Absent | Origin::Malformed(_) if *origins == Origins::Any => Self::Nothing,
            Origin::Absent | Origin::Elsewhere(_) => Self::Varies { always: false },
            Origin::Malformed(_) | Origin::Refused(_) => Self::Varies { always: true },
            Origin::Allowed(_) if *origins == Origins::Any => Self::Any,
            Origin::Allowed(origin) => {
                HeaderValue::from_str(origin).map_or(Self::Varies { always: true }, Self::Origin)
            }
        }
    }

    /// Every answer says it, refusals too: the page must be able to read them.
    pub(crate) fn apply(self, cors: &Cors, mut answer: Answer) -> Answer {
        // What nobody keeps need not say that it would be another for another page.
        let is_kept = answer.is_kept();
        self.each(cors, is_kept, |name, value| answer.add(name, value));
        answer
    }

    /// Gives each header of an answer, which a cache may keep or not.
    pub(crate) fn each(
        self,
        cors: &Cors,
        is_kept: bool,
        mut add: impl FnMut(HeaderName, HeaderValue),
    ) {
        let varies = (VARY, HeaderValue::from_static("Origin"));
        match self {
            Self::Nothing => return,
            Self::Varies { always } => {
                if always || is_kept {
                    add(varies.0, varies.1);
                }
                return;
            }
            Self::Any => add(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
            Self::Origin(origin) => {
                add(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                add(varies.0, varies.1);
                if cors.credentials {
                    add(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
                }
            }
        }
        if let Some(names) = &cors.exposed_headers {
            add(ACCESS_CONTROL_EXPOSE_HEADERS, names.clone());
        }
    }
}

/// Whether a browser asks on behalf of a page of another origin.
pub(crate) fn is_preflight(head: &Head<'_>) -> bool {
    head.method == "OPTIONS"
        && head.header("origin").is_some()
        && head.header("access-control-request-method").is_some()
}

/// The answer to that.
pub(crate) fn preflight(config: &HttpSettings, head: &Head<'_>) -> Answer {
    let cors = &config.cors;
    let mut answer =
        Answer::empty(cors.status).with(ACCESS_CONTROL_ALLOW_METHODS, cors.methods.clone());
    if let Some(age) = &cors.max_age {
        answer = answer.with(ACCESS_CONTROL_MAX_AGE, age.clone());
    }
    match (&cors.allowed_headers, head.header("access-control-request-headers")) {
        (Some(names), _) => answer.with(ACCESS_CONTROL_ALLOW_HEADERS, names.clone()),
        (None, Some(asked)) => answer
            .with_bytes(ACCESS_CONTROL_ALLOW_HEADERS, asked)
            .with(VARY, HeaderValue::from_static("Access-Control-Request-Headers")),
        (None, None) => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_name_is_left_out() {
        let cors = Cors::new()
            .methods(["GET", "PO ST", "", "X\r\nSet-Cookie: a=b", "PUT"])
            .allowed_headers(["x-one", "x two", "x\r\ny", "X-Three"])
            .exposed_headers(["a,b", "é", "*"])
            .preflight_status(StatusCode::FORBIDDEN)
            .max_age(Duration::from_millis(1_500));
        assert_eq!(cors.methods, "GET,PUT");
        assert_eq!(cors.allowed_headers.unwrap(), "x-one,X-Three");
        assert_eq!(cors.exposed_headers.unwrap(), "*");
        assert_eq!(cors.max_age.unwrap(), "1");
        assert_eq!(cors.status, StatusCode::NO_CONTENT);
    }
}

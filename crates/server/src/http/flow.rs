//! [`Flow`]: how it goes on with a request.

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderValue};

use crate::http::answer::Answer;

/// How it goes on with a request: what a function says that
/// [`Builder::on_request`](crate::Builder::on_request) was given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the request goes on as it says"]
pub enum Flow {
    /// To the server.
    Pass,
    /// Back, with this answer. The request goes nowhere else.
    Answer {
        /// Its status: anything from 200 on.
        status: StatusCode,
        /// Its body, which is plain text unless another `content-type` is set in the headers. Left
        /// out where the status says that there is none.
        body: Bytes,
    },
}

impl Flow {
    /// Back, with this answer.
    pub fn answer(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::Answer { status, body: body.into() }
    }

    /// The answer, if it is one. One to an upgrade is the end of the connection, as every answer is
    /// that is no WebSocket.
    pub(crate) fn into_answer(self, upgrade: bool) -> Option<Answer> {
        let Self::Answer { status, body } = self else {
            return None;
        };
        let answer = match status {
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => Answer::empty(status),
            status if status.is_informational() => {
                tracing::error!(%status, "on_request gave no answer, but an announcement of one");
                Answer::empty(StatusCode::INTERNAL_SERVER_ERROR)
            }
            status if body.is_empty() => Answer::empty(status),
            status => Answer::new(status, "text/plain; charset=utf-8", body),
        };
        Some(if upgrade {
            answer.with(header::CONNECTION, HeaderValue::from_static("close"))
        } else {
            answer
        })
    }
}

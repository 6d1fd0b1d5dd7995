//! [`Outcome`]: what came of a feature.

use std::error::Error;
use std::fmt::Debug;

/// Why a feature failed.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// What a feature says that did not fail.
pub(crate) enum Outcome {
    Passed,
    /// The server cannot do it: a word of the README.
    NotThere(&'static str),
    /// It is a matter of another way.
    OtherWay,
}

/// What came of it.
pub(crate) enum Verdict {
    Ok,
    NotThere(&'static str),
    OtherWay,
    Failed(String),
}

impl Verdict {
    pub(crate) const fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    pub(crate) const fn is_ok(&self) -> bool {
        matches!(self, Self::Ok)
    }
}

/// Whether two values are the same.
///
/// # Errors
///
/// Where they are not: which was found and which was wanted, each cut.
pub(crate) fn same<A: Debug + PartialEq<B>, B: Debug>(
    what: &str,
    found: A,
    wanted: B,
) -> Result<(), Failure> {
    if found == wanted {
        return Ok(());
    }
    let cut = |text: String| text.chars().take(300).collect::<String>();
    let (found, wanted) = (cut(format!("{found:?}")), cut(format!("{wanted:?}")));
    Err(format!("{what}: found {found}, wanted {wanted}").into())
}

/// Whether that is so.
///
/// # Errors
///
/// Where it is not: `what` is wrong.
pub(crate) fn holds(what: impl Into<String>, is_so: bool) -> Result<(), Failure> {
    if is_so { Ok(()) } else { Err(what.into().into()) }
}

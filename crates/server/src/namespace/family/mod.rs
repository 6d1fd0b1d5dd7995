//! Namespaces that stand for others: parents, the patterns of their names, and whose a namespace is.

pub(crate) mod parents;
pub(crate) mod pattern;
pub(crate) mod standing;

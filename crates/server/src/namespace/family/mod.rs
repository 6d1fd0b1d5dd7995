//! Which namespaces there are, by their names; those that stand for others; and whose each is.

pub(crate) mod parents;
pub(crate) mod pattern;
pub(crate) mod registry;
pub(crate) mod standing;

//! Mistakes that do not compile, and what the compiler says about them: a person must be able to
//! act on it. `TRYBUILD=overwrite cargo test --test ui` writes the messages anew; read them then.
#![allow(missing_docs)]
#![cfg(feature = "blocking")]

#[test]
fn a_mistake_has_a_message_that_says_what_to_do() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}

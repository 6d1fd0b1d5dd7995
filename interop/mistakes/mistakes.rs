//! Mistakes that do not compile, and what the compiler says about them: a person must be able to
//! act on it. `TRYBUILD=overwrite cargo test -p roomful-mistakes` writes the messages anew; read them then.
#![allow(missing_docs)]

#[test]
fn a_mistake_has_a_message_that_says_what_to_do() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("server/*.rs");
    cases.compile_fail("client/*.rs");
}

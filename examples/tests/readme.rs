//! The README shows the chat example as it is.

#![allow(missing_docs)]

const README: &str = include_str!("../../README.md");
const CHAT: &str = include_str!("../chat/main.rs");

/// The program without the comment on its first lines.
fn chat() -> String {
    let lines = CHAT.lines().filter(|line| !line.starts_with("//!"));
    lines.fold(String::new(), |code, line| code + line + "\n")
}

#[test]
fn the_readme_shows_the_chat_server_as_it_is() {
    assert!(README.contains(&chat()), "README.md and examples/chat/main.rs have drifted apart");
}

#[test]
fn the_chat_server_has_at_most_fifteen_lines() {
    assert!(chat().lines().count() <= 15);
}

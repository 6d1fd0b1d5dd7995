//! The chat of the README is the chat example.

#![allow(missing_docs)]

const README: &str = include_str!("../../README.md");
const CHAT: &str = include_str!("../chat/main.rs");

/// The handlers, as the example has them.
fn chat() -> &'static str {
    let from = CHAT.find("    io.on_connect").unwrap_or_default();
    let len = CHAT[from..].find("    io.of").unwrap_or_default();
    &CHAT[from..from + len]
}

#[test]
fn the_readme_shows_the_chat_server_as_it_is() {
    assert!(chat().contains("io.on(\"message\""), "{:?}", chat());
    assert!(README.contains(chat()), "README.md and examples/chat/main.rs have drifted apart");
}

#[test]
fn the_chat_server_is_small() {
    let code =
        CHAT.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    assert!(code.count() <= 60);
}

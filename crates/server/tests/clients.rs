//! Wire dialogues of other clients: what each sends, byte for byte, and what this server answers.
//! The dialogues are the text files in `clients/`, and their form is in `clients/README.md`. Each
//! is played at the server's own HTTP and behind an HTTP library.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

#[path = "clients/line.rs"]
mod line;
#[path = "clients/pattern.rs"]
mod pattern;
#[path = "clients/stage.rs"]
mod stage;
mod support;

use std::fmt::Write as _;
use std::path::Path;

use line::{Line, Scene};
use stage::Stage;
use support::PATIENCE;

macro_rules! dialogues {
    ($($name:ident: $file:literal,)*) => {
        const FILES: &[&str] = &[$($file),*];
        $(
            #[tokio::test]
            async fn $name() {
                play_file($file).await;
            }
        )*
    };
}

dialogues! {
    arduino: "arduino.txt",
    cpp: "cpp.txt",
    dart: "dart.txt",
    dotnet_3: "dotnet-3.txt",
    dotnet_4: "dotnet-4.txt",
    java: "java.txt",
    php: "php.txt",
    rust: "rust.txt",
    swift: "swift.txt",
    unity: "unity.txt",
    unity_best_socketio: "unity-best-socketio.txt",
}

fn directory() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients"))
}

async fn play_file(file: &str) {
    let text = std::fs::read_to_string(directory().join(file)).unwrap();
    if let Err(failure) = play(&text).await {
        panic!("\n{file}:\n{failure}");
    }
}

/// Plays every scene in both ways; the error names the lines and what differs.
async fn play(text: &str) -> Result<(), String> {
    let mut failures = String::new();
    for scene in Scene::all(text)? {
        for (way, behind_a_library) in [("", false), (" behind an HTTP library", true)] {
            if let Err(failure) = play_scene(&scene, behind_a_library).await {
                writeln!(failures, "{failure}, in `{}`{way}", scene.title).unwrap();
            }
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

async fn play_scene(scene: &Scene, behind_a_library: bool) -> Result<(), String> {
    let mut stage = Stage::build(scene, behind_a_library).await;
    for (number, line) in &scene.lines {
        if stage.is_over(line) {
            return Ok(());
        }
        let played = match line {
            Line::Pass(_) => stage.play(line).await,
            // Before the support gives up, which does not know the line.
            _ => tokio::time::timeout(PATIENCE / 2, stage.play(line))
                .await
                .unwrap_or_else(|_| Err("nothing comes".to_owned())),
        };
        played.map_err(|what| format!("{number}: {what}"))?;
    }
    stage.end().map_err(|what| format!("at the end: {what}"))
}

#[test]
fn every_file_is_played_and_names_its_sources() {
    let mut found: Vec<_> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".txt"))
        .collect();
    let mut listed = FILES.to_vec();
    found.sort();
    listed.sort_unstable();
    assert_eq!(found, listed, "a file without a test, or a test without its file");
    for file in FILES {
        let text = std::fs::read_to_string(directory().join(file)).unwrap();
        assert!(text.starts_with("# Source: "), "{file} begins with the source of its facts");
    }
}

/// The runner itself must notice what differs, or the dialogues prove nothing.
#[tokio::test]
async fn a_wrong_dialogue_fails() {
    let good = "== A\n\
        on ws\n\
        > GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\n> Host: <host>\n\
        > Connection: Upgrade\n> Upgrade: websocket\n\
        > Sec-WebSocket-Version: 13\n> Sec-WebSocket-Key: <key>\n\
        < HTTP/1.1 101 Switching Protocols\n< Sec-WebSocket-Accept: <accept>\n\
        text< 0{\"sid\":\"<sid>\",…}\n\
        text> 40\n\
        text< 40{\"sid\":\"<id>\"}\n\
        text> 421[\"echo-ack\",\"<3 x>\"]\n\
        text< 431[\"xxx\"]\n\
        close> 1000\n\
        close< 1000\n\
        end<\n\
        left / transport close\n";
    assert_eq!(play(good).await, Ok(()));
    for (right, wrong) in [
        ("101 Switching", "101 switching"),
        ("<accept>", "x"),
        ("< Sec-WebSocket-Accept", "absent< Sec-WebSocket-Accept\n< Sec-WebSocket-Accept"),
        ("40{\"sid\":\"<id>\"}", "40{\"sid\":\"<sid>\"}"),
        ("text< 431[\"xxx\"]", "text< 431[\"xx\"]"),
        ("text< 431[\"xxx\"]", "bytes< 01"),
        ("text< 431[\"xxx\"]\n", ""),
        ("close< 1000\n", ""),
        ("close< 1000", "close< 1001"),
        ("transport close", "ping timeout"),
        ("text> 40\n", "test> 40\n"),
    ] {
        assert!(good.contains(right));
        let other = good.replacen(right, wrong, 1);
        assert!(play(&other).await.is_err(), "{right} as {wrong}");
    }
}

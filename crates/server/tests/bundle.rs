//! The JavaScript client from a directory. The one that is built in is in `http.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use roomful::{Origins, ServeClient, Server};
use support::*;

/// A directory that is gone when it is dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("roomful-bundle-{}-{n}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("dist")).unwrap();
        fs::write(path.join("secret.js"), "secret").unwrap();
        Self(path)
    }

    fn dist(&self) -> PathBuf {
        self.0.join("dist")
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.dist().join(name), content).unwrap();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn serving(directory: &Path) -> Running {
    let client = ServeClient::Directory(directory.to_owned());
    let origins = Origins::List(vec!["https://page.example".into()]);
    start(Server::builder().serve_client(client).origins(origins).build()).await
}

async fn fetch(server: &Running, name: &str, headers: &str) -> Response {
    get(server.address, &format!("/socket.io/{name}"), headers).await
}

#[tokio::test]
async fn the_eight_files_are_read_when_they_are_asked_for() {
    let directory = Directory::new();
    let server = serving(&directory.dist()).await;
    for script in
        ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js"]
    {
        for (suffix, kind) in [("", "application/javascript"), (".map", "application/json")] {
            let name = format!("{script}{suffix}");
            assert_eq!(fetch(&server, &name, "").await.status, 404, "{name}");
            directory.write(&name, &name);
            let response = fetch(&server, &format!("{name}?v=1"), "").await;
            assert_eq!((response.status, response.text()), (200, name.as_str()));
            let kind = format!("{kind}; charset=utf-8");
            assert_eq!(response.header("content-type"), Some(kind.as_str()));
            assert_eq!(response.header("cache-control"), Some("public, max-age=0"));
            assert_eq!(response.headers("vary"), ["Accept-Encoding", "Origin"]);
            assert_eq!(response.header("content-encoding"), None);
        }
    }
}

#[tokio::test]
async fn the_tag_is_that_of_the_content() {
    let directory = Directory::new();
    let server = serving(&directory.dist()).await;
    directory.write("socket.io.js", "one");
    let one = fetch(&server, "socket.io.js", "").await;
    let tag = one.header("etag").unwrap();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 10, "{tag}");
    for known in [tag.to_owned(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let response = fetch(&server, "socket.io.js", &format!("If-None-Match: {known}\r\n")).await;
        assert_eq!((response.status, response.text()), (304, ""), "{known}");
        assert_eq!(response.header("etag"), Some(tag));
        assert_eq!(response.headers("vary"), ["Accept-Encoding", "Origin"]);
    }
    directory.write("socket.io.js", "two");
    let response = fetch(&server, "socket.io.js", &format!("If-None-Match: {tag}\r\n")).await;
    assert_eq!((response.status, response.text()), (200, "two"));
    assert_ne!(response.header("etag"), Some(tag));
}

#[tokio::test]
async fn the_best_form_that_is_there_and_is_taken_is_sent() {
    let directory = Directory::new();
    let server = serving(&directory.dist()).await;
    directory.write("socket.io.js", "plain");
    directory.write("socket.io.js.gz", "gzip");
    let check = async |accepted: &str, encoding: Option<&str>, body: &str| {
        let headers = format!("Accept-Encoding: {accepted}\r\n");
        let response = fetch(&server, "socket.io.js", &headers).await;
        assert_eq!(
            (response.status, response.header("content-encoding"), response.text()),
            (200, encoding, body),
            "{accepted}"
        );
    };
    check("br, gzip", Some("gzip"), "gzip").await;
    directory.write("socket.io.js.br", "brotli");
    check("br, gzip", Some("br"), "brotli").await;
    check("br;q=0, gzip", Some("gzip"), "gzip").await;
    check("identity", None, "plain").await;
    check("", None, "plain").await;
}

#[tokio::test]
async fn nothing_else_can_be_asked_for() {
    let directory = Directory::new();
    let server = serving(&directory.dist()).await;
    directory.write("socket.io.js.br", "brotli");
    directory.write("other.js", "other");
    let absolute = directory.0.join("secret.js");
    for name in [
        "other.js",
        "../secret.js",
        "..%2fsecret.js",
        "%2e%2e/secret.js",
        "%2e%2e%2fsecret.js",
        "..\\secret.js",
        "....//secret.js",
        "socket.io.js/../../secret.js",
        "socket.io.js.br",
        "socket.io.js.map.map",
        ".map",
        "",
        "SOCKET.IO.JS",
        "socket%2eio.js",
        "socket.io.js%00",
        absolute.to_str().unwrap(),
    ] {
        let response = fetch(&server, name, "").await;
        assert!(matches!(response.status, 400 | 404), "{name}: {response:?}");
        let text = response.text();
        assert!(!text.contains("secret") && !text.contains("other"), "{name}: {text}");
    }
    // One of the names, with anything before it, is that file of the directory and no other.
    directory.write("socket.io.js", "plain");
    fs::write(directory.0.join("socket.io.js"), "secret").unwrap();
    for name in ["../socket.io.js", "%2e%2e/socket.io.js", "a/b/../../../socket.io.js"] {
        assert_eq!(fetch(&server, name, "").await.text(), "plain", "{name}");
    }
}

#[tokio::test]
async fn what_is_no_file_or_too_large_is_not_found_and_names_no_path() {
    let directory = Directory::new();
    let server = serving(&directory.dist()).await;
    fs::create_dir(directory.dist().join("socket.io.js")).unwrap();
    directory.write("socket.io.min.js", vec![b'x'; 4 * 1024 * 1024 + 1]);
    directory.write("socket.io.esm.min.js", vec![b'x'; 4 * 1024 * 1024]);
    let socket = directory.dist().join("socket.io.msgpack.min.js");
    let _listening = std::os::unix::net::UnixListener::bind(socket).unwrap();
    for name in ["socket.io.js", "socket.io.min.js", "socket.io.msgpack.min.js"] {
        let response = fetch(&server, name, "").await;
        assert_eq!(response.status, 404, "{name}");
        assert!(!response.text().contains("roomful-bundle"), "{response:?}");
    }
    let large = fetch(&server, "socket.io.esm.min.js", "").await;
    assert_eq!((large.status, large.body.len()), (200, 4 * 1024 * 1024));
    let gone = serving(Path::new("/nowhere")).await;
    assert_eq!(fetch(&gone, "socket.io.js", "").await.status, 404);
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_link_is_followed() {
    let directory = Directory::new();
    let server = serving(&directory.dist()).await;
    fs::write(directory.0.join("v1.js"), "one").unwrap();
    std::os::unix::fs::symlink("../v1.js", directory.dist().join("socket.io.js")).unwrap();
    assert_eq!(fetch(&server, "socket.io.js", "").await.text(), "one");
}

#[tokio::test]
async fn allowed_pages_may_load_it_and_it_comes_inside_another_server_too() {
    let directory = Directory::new();
    let server = serving(&directory.dist()).await;
    directory.write("socket.io.js", "one");
    let page = "Origin: https://page.example\r\n";
    let response = fetch(&server, "socket.io.js", page).await;
    assert_eq!(response.header("access-control-allow-origin"), Some("https://page.example"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().nest_service("/socket.io", server.service());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let response = get(address, "/socket.io/socket.io.js", "").await;
    assert_eq!((response.status, response.text()), (200, "one"));
    let off = start(Server::builder().serve_client(ServeClient::No).build()).await;
    assert_eq!(fetch(&off, "socket.io.js", "").await.status, 400);
}

/// A package with the build script of the crate and nothing else.
fn package(directory: &Path) {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::copy(own.join("build.rs"), directory.join("build.rs")).unwrap();
    let manifest = "[package]\nname = \"bundled\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(directory.join("Cargo.toml"), manifest).unwrap();
    fs::create_dir_all(directory.join("src")).unwrap();
    fs::write(directory.join("src/lib.rs"), "").unwrap();
    fs::create_dir_all(directory.join("bundle")).unwrap();
    fs::write(directory.join("bundle/.gitignore"), "dist\n").unwrap();
}

/// Builds a package; whether cargo found anything to do.
fn builds_anew(directory: &Path) -> bool {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--message-format=json", "--target-dir"])
        .arg(directory.join("target"))
        .current_dir(directory)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&built.stdout);
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    assert!(output.contains(r#""fresh":"#), "{output}");
    output.contains(r#""fresh":false"#)
}

#[test]
fn a_checkout_without_the_client_is_built_only_once() {
    let directory = Directory::new();
    package(&directory.0);
    assert!(builds_anew(&directory.0));
    assert!(!builds_anew(&directory.0), "nothing has changed");
    fs::create_dir_all(directory.0.join("bundle/dist")).unwrap();
    fs::write(directory.0.join("bundle/dist/VERSION"), "1.2.3").unwrap();
    assert!(builds_anew(&directory.0), "the client has come");
    assert!(!builds_anew(&directory.0));
}

//! Finds the JavaScript client that `npm ci` has put into `bundle/dist`, and writes a table of its
//! files for `src/bundle.rs` to include. Without it the build works all the same; the server then
//! says what is missing where the files would be.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

const NAMES: [&str; 4] =
    ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js"];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    // The directory, since cargo takes a path that is not there for one that has changed, and most
    // checkouts have no client in it.
    if fs::exists("bundle")? {
        println!("cargo::rerun-if-changed=bundle");
    }
    let variable = |name| env::var(name).map_err(io::Error::other);
    let dist = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("bundle/dist");
    let out = PathBuf::from(variable("OUT_DIR")?).join("bundle_files.rs");
    fs::write(out, table(&dist))
}

fn table(dist: &Path) -> String {
    let version = fs::read_to_string(dist.join("VERSION"));
    let mut code = String::new();
    match &version {
        Ok(version) => drop(writeln!(code, "const VERSION: Option<&str> = Some({version:?});")),
        Err(_) => drop(writeln!(code, "const VERSION: Option<&str> = None;")),
    }
    code.push_str("const FILES: &[File] = &[\n");
    for name in NAMES.iter().flat_map(|name| [(*name).to_owned(), format!("{name}.map")]) {
        if version.is_ok() {
            let path = |suffix: &str| dist.join(format!("{name}{suffix}"));
            let _ = writeln!(
                code,
                "    File {{ name: {name:?}, plain: include_bytes!({:?}), \
                 brotli: include_bytes!({:?}), gzip: include_bytes!({:?}) }},",
                path(""),
                path(".br"),
                path(".gz"),
            );
        }
    }
    code.push_str("];\n");
    code
}

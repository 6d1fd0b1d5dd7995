//! Each target on its seeds, and on a fixed number of mutations of them: the same ones in each run.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

/// So many mutations for each target, whatever the number of its seeds: some seconds in a debug build.
const MUTATIONS: usize = 20_000;
/// A mutated input is no longer than this, since splices of splices would grow.
const BYTES_MAX: usize = 4_096;
const KINDS: usize = 6;

/// Writes a test for each target, and their names.
macro_rules! targets {
    ($($target:ident)*) => {
        const TARGETS: &[&str] = &[$(stringify!($target)),*];

        $(#[test]
        fn $target() {
            replay(stringify!($target), roomful_fuzz::$target);
        })*
    };
}

targets! { args cluster deflate dialer frames manager msgpack mux payload session text_packet }

#[test]
fn every_target_stands_in_the_list() {
    let listed: BTreeSet<_> = TARGETS.iter().map(|name| (*name).to_owned()).collect();
    let stems = |folder: &str| -> BTreeSet<String> {
        files(&root().join(folder)).iter().map(|path| stem(path)).collect()
    };
    assert_eq!(stems("fuzz_targets"), listed);
    assert_eq!(stems("seeds"), listed);
}

/// Gives the target its seeds as they are, then mutated.
fn replay(name: &str, target: fn(&[u8])) {
    let seeds: Vec<_> = files(&root().join("seeds").join(name))
        .into_iter()
        .map(|path| (stem(&path), fs::read(&path).expect("a seed can be read")))
        .collect();
    assert!(!seeds.is_empty(), "{name} has no seeds");
    for (seed, input) in &seeds {
        run(name, target, seed, input);
    }
    let mut random = Random(0x5eed);
    for number in 0..MUTATIONS {
        let (seed, input) = &seeds[number % seeds.len()];
        let mut input = input.clone();
        for _ in 0..=random.below(4) {
            mutate(&mut input, &seeds[random.below(seeds.len())].1, &mut random);
            input.truncate(BYTES_MAX);
        }
        run(name, target, &format!("{seed}, mutation {number}"), &input);
    }
}

/// Keeps the input where `make fuzz` keeps its findings, if the target panics.
fn run(name: &str, target: fn(&[u8]), what: &str, input: &[u8]) {
    let Err(finding) = panic::catch_unwind(AssertUnwindSafe(|| target(input))) else {
        return;
    };
    let folder = root().join("artifacts").join(name);
    let kept = folder.join("replay");
    fs::create_dir_all(&folder).and_then(|()| fs::write(&kept, input)).expect("it is kept");
    eprintln!("{name} ends on the seed {what}: {}", input.escape_ascii());
    eprintln!("kept; to replay it: tools/fuzz {name} {}", kept.display());
    panic::resume_unwind(finding);
}

/// Changes an input in one of the ways in which peers and proxies break things.
fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(input.len() + 1);
    match random.below(KINDS) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.below(256) as u8,
        2 => input.truncate(at),
        3 => {
            let end = at + random.below(input.len() - at + 1).min(8);
            input.drain(at..end);
        }
        // The end of another seed behind the beginning of this one.
        4 => {
            input.truncate(at);
            input.extend_from_slice(&other[random.below(other.len() + 1)..]);
        }
        // A piece of it once more.
        _ => {
            let end = at + random.below(input.len() - at + 1).min(32);
            let piece = input[at..end].to_vec();
            input.splice(at..at, piece);
        }
    }
}

/// A generator of numbers that are the same in each run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The bounds are so small that the remainder is fair enough.
        (self.0 >> 11) as usize % bound
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What is in a folder, in an order that is the same everywhere.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("a name").to_string_lossy().into_owned()
}

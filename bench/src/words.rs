//! What clients say, and the bare servers answer: the same in both programs.

/// A text of which all have one length, and that ends with its number.
pub(crate) fn text(number: u64) -> String {
    format!("a message of forty-four characters, number {number}")
}

/// What is said in many words: about 2 KiB, the state of so many things.
const LINES: u64 = 50;

/// Lines that are similar, as those of a state are, and the number at the end.
pub(crate) fn many(number: u64) -> String {
    let line = |line: u64| {
        // Any function that jumps.
        let seed = (number * LINES + line).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (x, y, state) = (seed >> 52, (seed >> 40) & 0xfff, ["idle", "runs", "waits"]);
        format!("player {line} at {x},{y} {}; ", state[(seed >> 33) as usize % 3])
    };
    (0..LINES).map(line).chain(std::iter::once(number.to_string())).collect()
}

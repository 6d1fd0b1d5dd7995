//! [`Screen`]: what a terminal shows of the bytes that it is given, as far as the prompt needs it.

pub(crate) const COLUMNS: usize = 80;

/// A screen that never scrolls: it has as many rows as are written.
#[derive(Default)]
pub(crate) struct Screen {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// What was not understood yet, since its end is missing.
    rest: Vec<u8>,
    /// Whether there ever was a colour.
    pub(crate) is_painted: bool,
}

impl Screen {
    pub(crate) fn show(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let rest = std::mem::take(&mut self.rest);
        let valid = match std::str::from_utf8(&rest) {
            Ok(text) => text,
            Err(e) => str::from_utf8(&rest[..e.valid_up_to()]).unwrap(),
        };
        let mut chars = valid;
        while let Some(c) = chars.chars().next() {
            let len = match c {
                '\x1b' => match self.escape(chars) {
                    Some(len) => len,
                    None => break,
                },
                c => {
                    self.put(c);
                    c.len_utf8()
                }
            };
            chars = &chars[len..];
        }
        self.rest = rest[valid.len() - chars.len()..].to_vec();
    }

    fn put(&mut self, c: char) {
        match c {
            '\r' => self.column = 0,
            '\n' => self.row += 1,
            '\x08' => self.column = self.column.saturating_sub(1),
            c if c.is_control() => {}
            c => {
                let width = if c >= '\u{1f000}' { 2 } else { 1 };
                if self.column + width > COLUMNS {
                    (self.row, self.column) = (self.row + 1, 0);
                }
                let column = self.column;
                let row = self.row_mut();
                row.resize(row.len().max(column + width), ' ');
                row[column] = c;
                // The second half of a wide character.
                row[column + 1..column + width].fill('\0');
                self.column += width;
            }
        }
    }

    /// Obeys the sequence in front; its length, or `None` where its end is missing.
    fn escape(&mut self, chars: &str) -> Option<usize> {
        let Some(sequence) = chars.strip_prefix("\x1b[") else {
            return (chars.len() > 1).then_some(1);
        };
        let end = sequence.find(|c: char| ('\x40'..='\x7e').contains(&c))?;
        let number = sequence[..end].parse().unwrap_or(1).max(1);
        match sequence.as_bytes()[end] {
            b'A' => self.row = self.row.saturating_sub(number),
            b'B' => self.row += number,
            b'C' => self.column += number,
            b'D' => self.column = self.column.saturating_sub(number),
            b'G' => self.column = number - 1,
            b'K' => {
                let column = self.column;
                self.row_mut().truncate(column);
            }
            b'J' => {
                let (row, column) = (self.row, self.column);
                self.row_mut().truncate(column);
                self.rows.truncate(row + 1);
            }
            b'm' => self.is_painted = true,
            // Modes.
            b'h' | b'l' => {}
            other => panic!("the screen does not know {:?}", other as char),
        }
        Some("\x1b[".len() + end + 1)
    }

    fn row_mut(&mut self) -> &mut Vec<char> {
        let row = self.row;
        self.rows.resize(self.rows.len().max(row + 1), Vec::new());
        &mut self.rows[row]
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.rows.iter().map(|row| row.iter().filter(|c| **c != '\0').collect())
    }

    /// The line with the cursor.
    pub(crate) fn line(&self) -> String {
        self.lines().nth(self.row).unwrap_or_default()
    }

    /// The line above it.
    pub(crate) fn above(&self) -> String {
        self.row.checked_sub(1).and_then(|row| self.lines().nth(row)).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        self.lines().map(|line| line + "\n").collect()
    }
}

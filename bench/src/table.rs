//! [`Table`]: a table in Markdown that is a table on a terminal too.

use std::fmt;

pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    /// The first columns are texts, on the left; figures are on the right.
    texts: usize,
    /// The longest cell of each column.
    widths: Vec<usize>,
}

impl Table {
    pub(crate) fn new(texts: usize, head: Vec<String>) -> Self {
        let mut table = Self { rows: Vec::new(), texts, widths: vec![3; head.len()] };
        table.row(head);
        table
    }

    /// A row; cells that are missing are empty.
    pub(crate) fn row(&mut self, mut cells: Vec<String>) {
        cells.resize(self.widths.len(), String::new());
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = cell.chars().count().max(*width);
        }
        self.rows.push(cells);
    }

    /// Whether there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// A row with a text in place of its figures, which may be longer than these.
    pub(crate) fn remark(&mut self, name: String, text: String) {
        self.widths[0] = name.chars().count().max(self.widths[0]);
        let mut cells = vec![name, text];
        cells.resize(self.widths.len(), String::new());
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, row) in self.rows.iter().enumerate() {
            for (column, (cell, width)) in row.iter().zip(&self.widths).enumerate() {
                if column < self.texts {
                    write!(f, "| {cell:width$} ")?;
                } else {
                    write!(f, "| {cell:>width$} ")?;
                }
            }
            writeln!(f, "|")?;
            if at == 0 {
                for (column, width) in self.widths.iter().enumerate() {
                    let end = if column < self.texts { '-' } else { ':' };
                    write!(f, "|-{}{end}", "-".repeat(*width))?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// A text that can stand in a cell.
pub(crate) fn cell(text: &str, len_max: usize) -> String {
    let mut plain = text.replace('|', "\\|").replace(['\n', '\r'], " ");
    if let Some((at, _)) = plain.char_indices().nth(len_max) {
        plain.truncate(at);
        plain.push('…');
    }
    plain
}

//! Aligned tables: columns as wide as their widest cell, two blanks between, no trailing blanks.

use std::borrow::Cow;
use std::fmt;

use crate::paint::{Paint, Tone};

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A cell.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

/// A cell in another tone.
pub(crate) fn toned(tone: Tone, text: impl Into<String>) -> Cell {
    Cell {
        text: text.into(),
        tone,
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        toned(Tone::Plain, text)
    }
}

/// A table in the making.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<(Cow<'static, str>, Align)>,
    rows: Vec<Vec<Cell>>,
    indent: usize,
}

impl Table {
    pub(crate) fn new<const N: usize>(columns: [(&'static str, Align); N]) -> Self {
        let columns = columns.map(|(heading, align)| (Cow::Borrowed(heading), align));
        Self {
            columns: columns.into(),
            rows: Vec::new(),
            indent: 2,
        }
    }

    /// One more column, on the right, whose heading is known only now.
    pub(crate) fn column(&mut self, heading: impl Into<String>, align: Align) {
        self.columns.push((Cow::Owned(heading.into()), align));
    }

    /// A row of a table with such columns.
    pub(crate) fn wide_row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into());
    }

    /// Without the columns in which nothing stands.
    pub(crate) fn without_empty_columns(mut self) -> Self {
        let used: Vec<bool> = (0..self.columns.len())
            .map(|column| {
                let mut cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.any(|cell| !cell.text.is_empty())
            })
            .collect();
        let mut keep = used.iter();
        self.columns.retain(|_| keep.next() == Some(&true));
        for row in &mut self.rows {
            let mut keep = used.iter();
            row.retain(|_| keep.next() == Some(&true));
        }
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// To be displayed with these colours.
    pub(crate) const fn painted(&self, paint: Paint) -> PaintedTable<'_> {
        PaintedTable { table: self, paint }
    }

    fn widths(&self) -> Vec<usize> {
        let width = |(index, (heading, _)): (usize, &(Cow<'_, str>, Align))| {
            let cells = self.rows.iter().filter_map(|row| row.get(index));
            let widest = cells.map(|cell| cell.text.chars().count()).max();
            widest.unwrap_or(0).max(heading.chars().count())
        };
        self.columns.iter().enumerate().map(width).collect()
    }
}

/// A table with its colours.
pub(crate) struct PaintedTable<'a> {
    table: &'a Table,
    paint: Paint,
}

impl fmt::Display for PaintedTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.table.widths();
        let headings: Vec<Cell> = self
            .table
            .columns
            .iter()
            .map(|(heading, _)| toned(Tone::Faint, heading.as_ref()))
            .collect();
        for row in std::iter::once(&headings).chain(&self.table.rows) {
            self.line(f, row, &widths)?;
        }
        Ok(())
    }
}

impl PaintedTable<'_> {
    fn line(&self, f: &mut fmt::Formatter<'_>, row: &[Cell], widths: &[usize]) -> fmt::Result {
        write!(f, "{:indent$}", "", indent = self.table.indent)?;
        let last = row
            .iter()
            .rposition(|cell| !cell.text.is_empty())
            .unwrap_or(0);
        let columns = row.iter().zip(widths).zip(&self.table.columns);
        for (index, ((cell, width), (_, align))) in columns.enumerate() {
            if index > last {
                break;
            }
            let pad = width.saturating_sub(cell.text.chars().count());
            let (before, after) = match align {
                Align::Left if index == last => (0, 0),
                Align::Left => (0, pad),
                Align::Right => (pad, 0),
            };
            let text = self.paint.text(cell.tone, &cell.text);
            write!(f, "{:before$}{text}{:after$}", "", "")?;
            if index < last {
                f.write_str("  ")?;
            }
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let mut table = Table::new([
            ("name", Align::Left),
            ("n", Align::Right),
            ("why", Align::Left),
        ]);
        table.row(["a".into(), "1".into(), "".into()]);
        table.row(["längere".into(), "1000".into(), "x".into()]);
        let expected = "  name        n  why\n  a           1\n  längere  1000  x\n";
        assert_eq!(table.painted(Paint::new(false)).to_string(), expected);
    }

    #[test]
    fn a_column_in_which_nothing_stands_is_left_out() {
        let columns = [("a", Align::Left), ("b", Align::Left), ("c", Align::Left)];
        let mut table = Table::new(columns);
        table.row(["1".into(), "".into(), "".into()]);
        table.row(["2".into(), "".into(), "x".into()]);
        let table = table.without_empty_columns();
        let text = table.painted(Paint::new(false)).to_string();
        assert_eq!(text, "  a  c\n  1\n  2  x\n");
    }

    #[test]
    fn colours_do_not_change_the_alignment() {
        let mut table = Table::new([("a", Align::Left), ("b", Align::Left)]);
        table.row([toned(Tone::Bad, "xx"), "y".into()]);
        let text = table.painted(Paint::new(true)).to_string();
        assert!(text.ends_with("\u{1b}[1;31mxx\u{1b}[0m  y\n"), "{text:?}");
    }
}

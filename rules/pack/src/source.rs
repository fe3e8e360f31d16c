//! Lines and columns of a text.

/// Where each line of a text starts.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    source: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        let starts = std::iter::once(0)
            .chain(
                source
                    .match_indices('\n')
                    .map(|(offset, _)| offset.saturating_add(1)),
            )
            .collect();
        Self { source, starts }
    }

    /// Line and column, both from 1, the column in characters. A byte order mark has no column.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.line_at(offset);
        let start = self.starts.get(line).copied().unwrap_or(0);
        let before = self
            .source
            .get(start..offset.min(self.source.len()))
            .unwrap_or_default();
        let column = before.trim_start_matches('\u{feff}').chars().count();
        (line.saturating_add(1), column.saturating_add(1))
    }

    /// Index from 0 of the line that holds `offset`.
    fn line_at(&self, offset: usize) -> usize {
        self.starts
            .partition_point(|start| *start <= offset)
            .saturating_sub(1)
    }

    /// The line (from 1) without its end, and the byte at which it starts.
    pub(crate) fn line(&self, line: usize) -> (&'a str, usize) {
        let start = self
            .starts
            .get(line.saturating_sub(1))
            .copied()
            .unwrap_or(self.source.len());
        let end = self.starts.get(line).copied().unwrap_or(self.source.len());
        let text = self.source.get(start..end).unwrap_or_default();
        (text.trim_end_matches(['\n', '\r']), start)
    }

    /// The last byte at which something can be pointed to.
    pub(crate) fn end(&self) -> usize {
        self.source.trim_end().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let lines = Lines::new("ab\nüx\r\n");
        assert_eq!(lines.position(0), (1, 1));
        assert_eq!(lines.position(1), (1, 2));
        assert_eq!(lines.position(5), (2, 2));
        assert_eq!(lines.line(2), ("üx", 3));
        assert_eq!(lines.position(999).0, 3);
        assert_eq!(Lines::new("\u{feff}a: 1").position(3), (1, 1));
    }
}

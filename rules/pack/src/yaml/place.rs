//! Where something stands in the source: from the parser's lines and columns to bytes.

use std::ops::Range;

use serde_saphyr::Location;

/// Byte span of a location, cut to the source and to character borders.
pub(super) fn span_of(location: &Location, source: &str) -> Range<usize> {
    let span = location.span();
    let start = span.byte_offset().map_or_else(
        || offset_of(source, location.line(), location.column()),
        |offset| usize::try_from(offset).unwrap_or(usize::MAX),
    );
    let length = span
        .byte_len()
        .and_then(|length| usize::try_from(length).ok())
        .unwrap_or(0);
    let start = floor_border(source, start);
    let end = floor_border(source, start.saturating_add(length));
    let trimmed = source
        .get(start..end)
        .map_or(0, |text| text.trim_end().len());
    start..start.saturating_add(trimmed)
}

/// Byte offset of a 1-based line and column (in characters).
pub(super) fn offset_of(source: &str, line: u64, column: u64) -> usize {
    let skip = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
    let column = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
    let mut start = 0_usize;
    for (index, text) in source.split_inclusive('\n').enumerate() {
        if index == skip {
            let within = text
                .char_indices()
                .nth(column)
                .map_or(text.trim_end().len(), |(offset, _)| offset);
            return start.saturating_add(within);
        }
        start = start.saturating_add(text.len());
    }
    source.len()
}

pub(super) fn floor_border(source: &str, mut offset: usize) -> usize {
    offset = offset.min(source.len());
    while !source.is_char_boundary(offset) {
        offset = offset.saturating_sub(1);
    }
    offset
}

/// The parser points behind an anchor or a tag; people look for the sign.
pub(super) fn sign_before(span: Range<usize>, source: &str) -> Range<usize> {
    let line_start = source
        .get(..span.start)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |at| at.saturating_add(1));
    let line = source.get(line_start..span.start).unwrap_or_default();
    if source
        .get(span.start..)
        .is_some_and(|text| text.starts_with(['&', '*', '!', '<']))
    {
        return span;
    }
    let found = line.char_indices().rev().find(|(offset, character)| {
        let opens = line
            .get(..*offset)
            .is_none_or(|before| before.is_empty() || before.ends_with([' ', '[', '{', ',']));
        matches!(character, '&' | '*' | '!') && opens
    });
    match found {
        Some((offset, _)) => line_start.saturating_add(offset)..span.end,
        None => span,
    }
}

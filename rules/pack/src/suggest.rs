//! "Did you mean": the nearest of the known names.

/// The nearest candidate, when it is near enough to be a slip of the finger.
pub(crate) fn nearest<'c>(
    name: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let wanted: Vec<char> = name.chars().map(|c| c.to_ascii_lowercase()).collect();
    let allowed = (wanted.len() / 3).clamp(1, 4);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let limit = best.map_or(allowed, |(distance, _)| distance.saturating_sub(1));
        if let Some(distance) = distance_within(&wanted, candidate, limit) {
            best = Some((distance, candidate));
        }
        if matches!(best, Some((0, _))) {
            break;
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance (insertions, deletions, substitutions, swaps of neighbours), if at most `limit`.
fn distance_within(wanted: &[char], candidate: &str, limit: usize) -> Option<usize> {
    let length = candidate.chars().count();
    if length.abs_diff(wanted.len()) > limit {
        return None;
    }
    let mut two_ago: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=wanted.len()).collect();
    let mut before = None;
    for (row, actual) in candidate
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .enumerate()
    {
        let mut current = Vec::with_capacity(last.len());
        current.push(row.saturating_add(1));
        for (column, expected) in wanted.iter().enumerate() {
            let substituted = at(&last, column).saturating_add(usize::from(*expected != actual));
            let inserted = at(&current, column).saturating_add(1);
            let deleted = at(&last, column.saturating_add(1)).saturating_add(1);
            let mut cost = substituted.min(inserted).min(deleted);
            let swapped = column.checked_sub(1).is_some_and(|previous| {
                wanted.get(previous) == Some(&actual) && before == Some(*expected)
            });
            if swapped {
                cost = cost.min(at(&two_ago, column.saturating_sub(1)).saturating_add(1));
            }
            current.push(cost);
        }
        if current.iter().min().is_none_or(|least| *least > limit) {
            return None;
        }
        before = Some(actual);
        two_ago = std::mem::replace(&mut last, current);
    }
    last.last().copied().filter(|distance| *distance <= limit)
}

fn at(row: &[usize], column: usize) -> usize {
    row.get(column).copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        let keys = ["timeout", "unit", "host", "stale_after", "word_order"];
        for (typed, meant) in [
            ("timout", Some("timeout")),
            ("tiemout", Some("timeout")),
            ("Host", Some("host")),
            ("unti", Some("unit")),
            ("stale_aftr", Some("stale_after")),
            ("xyz", None),
            ("", None),
            ("wordorder", Some("word_order")),
        ] {
            assert_eq!(nearest(typed, keys), meant, "{typed}");
        }
    }
}

//! HdrHistogram's percentile text format (`.hgrm`), as its plotters read it.
//!
//! Values are in microseconds with three decimals, so that no nanosecond is lost. The footer has the exact mean, maximum
//! and count. The standard deviation is computed from the percentile steps, so it has their resolution. The usual third
//! line, `#[Buckets = ..., SubBuckets = ...]`, tells of the recorder's memory and not of the data; a guard does not send
//! it, and it is left out.
//!
//! Source: HdrHistogram, `outputPercentileDistribution`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use appliance_control::Distribution;

use crate::units::to_f64;

/// `line.hgrm` becomes `line.LANE.WHAT.hgrm`.
pub(crate) fn file_name(path: &Path, lane: &str, what: &str) -> PathBuf {
    let stem = path
        .file_stem()
        .unwrap_or(path.as_os_str())
        .to_string_lossy();
    path.with_file_name(format!("{stem}.{lane}.{what}.hgrm"))
}

/// The file's text.
pub(crate) fn render(of: &Distribution) -> String {
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    for (value_ns, quantile, count) in &of.steps {
        let value = micros(*value_ns);
        // Writing to a string cannot fail.
        let _ = if *quantile < 1.0 {
            let inverse = 1.0 / (1.0 - quantile);
            writeln!(
                text,
                "{value:>12.3} {quantile:>2.12} {count:>10} {inverse:>14.2}"
            )
        } else {
            writeln!(text, "{value:>12.3} {quantile:>2.12} {count:>10}")
        };
    }
    let _ = writeln!(
        text,
        "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]\n#[Max     = {:>12.3}, Total count    = {:>12}]",
        micros(of.mean_ns),
        deviation(of),
        micros(of.max_ns),
        of.count
    );
    text
}

fn micros(ns: u64) -> f64 {
    to_f64(ns) / 1e3
}

/// In microseconds, of the population.
fn deviation(of: &Distribution) -> f64 {
    if of.count == 0 {
        return 0.0;
    }
    let mean = micros(of.mean_ns);
    let mut before = 0;
    let mut squares = 0.0;
    for (value_ns, _, count) in &of.steps {
        let distance = micros(*value_ns) - mean;
        squares += distance * distance * to_f64(count.saturating_sub(before));
        before = *count;
    }
    (squares / to_f64(of.count)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_that_of_hdrhistogram() {
        let of = Distribution {
            count: 4,
            min_ns: 1_000,
            mean_ns: 2_500,
            max_ns: 4_000,
            steps: vec![
                (1_000, 0.0, 1),
                (2_000, 0.5, 2),
                (3_000, 0.75, 3),
                (4_000, 1.0, 4),
            ],
            ..Distribution::default()
        };
        let expected = "       Value     Percentile TotalCount 1/(1-Percentile)\n\
                        \n\
                        \x20      1.000 0.000000000000          1           1.00\n\
                        \x20      2.000 0.500000000000          2           2.00\n\
                        \x20      3.000 0.750000000000          3           4.00\n\
                        \x20      4.000 1.000000000000          4\n\
                        #[Mean    =        2.500, StdDeviation   =        1.118]\n\
                        #[Max     =        4.000, Total count    =            4]\n";
        assert_eq!(render(&of), expected);
    }

    #[test]
    fn an_empty_distribution_is_a_file_too() {
        let text = render(&Distribution::default());
        assert!(text.contains("Total count    =            0]"), "{text}");
        assert!(!text.contains("NaN"), "{text}");
    }

    #[test]
    fn each_distribution_has_its_own_file() {
        let name = |path: &str| file_name(Path::new(path), "main", "evaluate");
        assert_eq!(
            name("/tmp/line.hgrm"),
            Path::new("/tmp/line.main.evaluate.hgrm")
        );
        assert_eq!(name("line"), Path::new("line.main.evaluate.hgrm"));
    }
}

//! `hotelling`: how far several values together are from what they were, in one number.
//!
//! T^2 of the exponentially weighted mean (H. Hotelling, "Multivariate quality control", 1947; C. A. Lowry et al., "A
//! multivariate exponentially weighted moving average control chart", Technometrics 34, 1992). Mean and covariance are
//! learned from N frames and then fixed, or given as means and standard deviations. To the covariance is added, for each
//! input, the square of the drift that is allowed: a value so steady that a hundredth of it is ten standard deviations
//! does not stop a machine for a hundredth.

use tripline_analyzer::{Analyzer, Frame, Outputs, Refused, StateHash, Verdict};

use crate::{
    Confirm, Params,
    api::{Output, news, verdict, write},
    num::float,
};

/// Inputs that the module has.
pub const INPUTS: usize = 8;
const T2_MAX: f64 = 1e12;
const CAUSE_DISTANCE: u8 = 1;

type Matrix = [[f64; INPUTS]; INPUTS];

/// Lower triangle L of `matrix` = L L'; `None` unless it is positive definite. Rows and columns above `used` are not read.
fn cholesky(matrix: &Matrix, used: usize) -> Option<Matrix> {
    let mut lower: Matrix = [[0.0; INPUTS]; INPUTS];
    for row in 0..used {
        for column in 0..=row {
            let (mine, other) = (lower.get(row)?, lower.get(column)?);
            let sum: f64 = mine
                .iter()
                .zip(other)
                .take(column)
                .map(|(a, b)| a * b)
                .sum();
            let rest = matrix.get(row)?.get(column)? - sum;
            let value = if row == column {
                if rest <= 0.0 {
                    return None;
                }
                libm::sqrt(rest)
            } else {
                rest / other.get(column)?
            };
            *lower.get_mut(row)?.get_mut(column)? = value;
        }
    }
    Some(lower)
}

/// x' (L L')^-1 x, by forward substitution.
fn distance(lower: &Matrix, x: &[f64; INPUTS], used: usize) -> f64 {
    let mut y = [0.0; INPUTS];
    for (at, (row, value)) in lower.iter().zip(x).take(used).enumerate() {
        let sum: f64 = row.iter().zip(&y).take(at).map(|(a, b)| a * b).sum();
        if let (Some(to), Some(pivot)) = (y.get_mut(at), row.get(at)) {
            *to = (value - sum) / pivot;
        }
    }
    y.iter().map(|v| v * v).sum()
}

/// The analyzer. Inputs: up to [`INPUTS`] values, any units; those after the number in the parameters are not looked at.
pub struct Hotelling {
    used: usize,
    settle: usize,
    learn: usize,
    weight: f64,
    alert: f64,
    danger: f64,
    drift: [f64; INPUTS],
    confirm: Confirm,
    confirm_danger: Confirm,

    settled: usize,
    learned: usize,
    /// Mean, or while learning the mean so far.
    mean: [f64; INPUTS],
    /// Sums of products about the mean (Welford's recurrence) while learning.
    products: Matrix,
    lower: Option<Matrix>,
    smooth: [f64; INPUTS],
}

impl Hotelling {
    fn fix(&mut self, covariance: impl Fn(usize, usize) -> f64) -> Result<(), Refused> {
        let noise = self.weight / (2.0 - self.weight);
        let mut matrix: Matrix = [[0.0; INPUTS]; INPUTS];
        let drifts = self.drift.iter().zip(&self.mean);
        for ((row, line), (drift, mean)) in matrix.iter_mut().enumerate().zip(drifts) {
            for (column, cell) in line.iter_mut().enumerate() {
                let allowed = drift * mean;
                let floor = if row == column {
                    allowed * allowed
                } else {
                    0.0
                };
                *cell = noise * covariance(row, column) + floor;
            }
        }
        self.lower = Some(cholesky(&matrix, self.used).ok_or(Refused::COMBINATION)?);
        self.smooth = self.mean;
        Ok(())
    }

    fn learn(&mut self, values: &[f64; INPUTS]) {
        self.learned = self.learned.saturating_add(1);
        let count = float(self.learned);
        let mut before = [0.0; INPUTS];
        for ((away, mean), value) in before.iter_mut().zip(&mut self.mean).zip(values) {
            *away = value - *mean;
            *mean += *away / count;
        }
        for (row, before) in self.products.iter_mut().zip(&before) {
            for ((cell, mean), value) in row.iter_mut().zip(&self.mean).zip(values) {
                *cell += before * (value - mean);
            }
        }
        if self.learned >= self.learn {
            let products = self.products;
            let freedom = float(self.learned.saturating_sub(1).max(1));
            let covariance = |row: usize, column: usize| {
                products
                    .get(row)
                    .and_then(|r| r.get(column))
                    .map_or(0.0, |v| v / freedom)
            };
            // A covariance without an inverse (an input that never moved, no drift allowed) is learned on: T^2 stays uncertain.
            if self.fix(covariance).is_err() && self.learned > 2 * self.learn {
                self.learned = 0;
                self.products = [[0.0; INPUTS]; INPUTS];
                self.mean = [0.0; INPUTS];
            }
        }
    }
}

impl Analyzer for Hotelling {
    type Sample = f32;
    const PARAMS: usize = 32;
    const INPUTS: usize = INPUTS;
    const OUTPUTS: usize = 3;
    const NEW: Self = Self {
        used: 0,
        settle: 0,
        learn: 0,
        weight: 0.0,
        alert: 0.0,
        danger: 0.0,
        drift: [0.0; INPUTS],
        confirm: Confirm::NEW,
        confirm_danger: Confirm::NEW,
        settled: 0,
        learned: 0,
        mean: [0.0; INPUTS],
        products: [[0.0; INPUTS]; INPUTS],
        lower: None,
        smooth: [0.0; INPUTS],
    };

    fn init(&mut self, params: &[f64]) -> Result<(), Refused> {
        let params = Params(params);
        self.used = params.count(0, 1, INPUTS)?;
        self.settle = params.count(1, 0, 1_000_000)?;
        self.learn = params.count(2, 0, 1_000_000)?;
        self.weight = params.positive(3)?;
        if self.weight > 1.0 {
            return Err(Refused::param(3));
        }
        self.alert = params.positive(4)?;
        self.danger = params.number(5)?;
        self.confirm = Confirm::from_params(params, 6)?;
        self.confirm_danger = self.confirm;
        for (at, drift) in self.drift.iter_mut().enumerate() {
            *drift = params.number(at.saturating_add(8))? / 100.0;
        }
        if self.learn == 0 {
            let mut deviations = [0.0; INPUTS];
            for (at, (mean, deviation)) in self.mean.iter_mut().zip(&mut deviations).enumerate() {
                *mean = params.number(at.saturating_add(16))?;
                *deviation = params.number(at.saturating_add(24))?;
            }
            self.fix(|row, column| {
                let deviation = deviations.get(row).copied().unwrap_or(0.0);
                if row == column {
                    deviation * deviation
                } else {
                    0.0
                }
            })?;
        } else if self.learn <= self.used {
            // Fewer frames than inputs give a covariance without an inverse.
            return Err(Refused::param(2));
        }
        Ok(())
    }

    fn process(&mut self, frame: &Frame<'_, f32>, out: &mut Outputs<'_>) -> Verdict {
        let mut values = [0.0; INPUTS];
        for (at, value) in values.iter_mut().enumerate().take(self.used) {
            // One value that is missing leaves no distance: the output stays bad.
            let Some(input) = frame.input(at).usable() else {
                return Verdict::NORMAL;
            };
            *value = input;
        }
        if news(frame, self.used) {
            if self.settled < self.settle {
                self.settled = self.settled.saturating_add(1);
            } else if self.lower.is_none() {
                self.learn(&values);
            } else {
                for (smooth, value) in self.smooth.iter_mut().zip(&values) {
                    *smooth += self.weight * (value - *smooth);
                }
            }
        }
        let Some(lower) = &self.lower else {
            write(
                out,
                [
                    Output::Uncertain(0.0),
                    Output::Uncertain(0.0),
                    Output::Good(0.0),
                ],
            );
            return Verdict::NORMAL;
        };
        let mut away = [0.0; INPUTS];
        for ((away, smooth), mean) in away.iter_mut().zip(&self.smooth).zip(&self.mean) {
            *away = smooth - mean;
        }
        let t2 = distance(lower, &away, self.used);
        // The input that is furthest by itself, from 1: where to look first.
        let mut furthest = (0, 0.0);
        for (at, away) in away.iter().enumerate().take(self.used) {
            let mut alone = [0.0; INPUTS];
            if let Some(slot) = alone.get_mut(at) {
                *slot = *away;
            }
            let share = distance(lower, &alone, self.used);
            if share > furthest.1 {
                furthest = (at.saturating_add(1), share);
            }
        }
        if news(frame, self.used) {
            self.confirm.observe(t2 >= self.alert);
            self.confirm_danger
                .observe(self.danger > 0.0 && t2 >= self.danger);
        }
        write(
            out,
            [
                Output::Good(t2).within(0.0, T2_MAX),
                Output::Good(float(furthest.0)),
                Output::Good(1.0),
            ],
        );
        verdict(
            self.confirm.holds(),
            self.confirm_danger.holds(),
            CAUSE_DISTANCE,
        )
    }

    fn state_hash(&self) -> u64 {
        let hash = StateHash::new()
            .f64(float(self.settled))
            .f64(float(self.learned))
            .f64s(&self.mean);
        let hash = self.products.iter().fold(hash, |hash, row| hash.f64s(row));
        let hash = self
            .lower
            .iter()
            .flatten()
            .fold(hash, |hash, row| hash.f64s(row));
        let hash = hash.f64s(&self.smooth);
        self.confirm_danger.hash(self.confirm.hash(hash)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_what_the_inverse_gives() {
        // [[4, 2], [2, 3]]^-1 = [[3, -2], [-2, 4]] / 8; x = (1, 2): (3 - 8 + 16) / 8 = 11 / 8.
        let mut matrix: Matrix = [[0.0; INPUTS]; INPUTS];
        matrix[0][0] = 4.0;
        matrix[1][0] = 2.0;
        matrix[0][1] = 2.0;
        matrix[1][1] = 3.0;
        let lower = cholesky(&matrix, 2).unwrap();
        let mut x = [0.0; INPUTS];
        x[0] = 1.0;
        x[1] = 2.0;
        assert!((distance(&lower, &x, 2) - 1.375).abs() < 1e-14);
        matrix[1][1] = 1.0;
        assert!(cholesky(&matrix, 2).is_none(), "singular");
    }
}

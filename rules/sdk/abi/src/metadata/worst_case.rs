//! What a module's author says of its cost, of what it waits for, and of what it remembers.

use serde::{Deserialize, Serialize};

use super::{COUNT_MAX, ENTRIES_MAX, Metadata, MetadataError, REMEMBERS_MAX, refuse};

/// What a call costs at most, in its author's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorstCase {
    /// Fuel of the most expensive `tl_process`.
    pub fuel: u64,
    /// What must pass behind a lasting cause until all that it derives shows it: the sum of these. None: it speaks at the
    /// first call. `None`: its author does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict_after: Option<Vec<Wait>>,
    /// How many calls its answers depend on. `None`: its author does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remembers: Option<Remembers>,
}

/// How much history a module's answers depend on: `calls` times the product of these parameters. After so many calls in a row,
/// the one that is answered included, each with news, usable inputs and no gap, any two instances give the same answer bit for
/// bit, whatever they saw before (H-41).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remembers {
    /// Calls; 1 without parameters: nothing is remembered.
    pub calls: u32,
    /// Parameters that they are multiplied with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<String>,
}

/// Something that a module waits for: the product of these parameters, and of 1 when there are none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// So many calls, each with news.
    Calls(Vec<String>),
    /// So many samples of its waveform.
    Samples(Vec<String>),
}

impl Wait {
    /// The parameters.
    pub fn params(&self) -> &[String] {
        match self {
            Self::Calls(params) | Self::Samples(params) => params,
        }
    }
}

/// What a module waits for, with the values of its parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Calls.
    pub calls: u64,
    /// Samples.
    pub samples: u64,
}

impl Metadata {
    pub(super) fn check_remembers(&self) -> Result<(), MetadataError> {
        let at = "worst_case.remembers";
        let Some(remembers) = &self.worst_case.remembers else {
            return Ok(());
        };
        if remembers.calls == 0 || remembers.calls > REMEMBERS_MAX {
            return Err(refuse(
                at,
                format!(
                    "{} calls; 1 (nothing is remembered) to {REMEMBERS_MAX}",
                    remembers.calls
                ),
            ));
        }
        self.check_counts(at, &remembers.params)
    }

    /// Whether these are parameters that count something.
    fn check_counts(&self, at: &str, params: &[String]) -> Result<(), MetadataError> {
        if params.len() > ENTRIES_MAX {
            return Err(refuse(
                at,
                format!("{} parameters; at most {ENTRIES_MAX}", params.len()),
            ));
        }
        for param in params {
            let known = self.params.iter().find(|known| known.name == *param);
            match known {
                None => return Err(refuse(at, format!("there is no parameter `{param}`"))),
                Some(known) if known.min < 0.0 || known.max > COUNT_MAX => {
                    return Err(refuse(
                        at,
                        format!(
                            "`{param}` may be {} to {}; what counts is 0 to {COUNT_MAX}",
                            known.min, known.max
                        ),
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The product of parameters, with these values in their order.
    fn product(&self, names: &[String], params: &[f64]) -> u64 {
        names.iter().fold(1_u64, |product, name| {
            let at = self.params.iter().position(|param| param.name == *name);
            let value = at.and_then(|at| params.get(at)).copied();
            product.saturating_mul(count(value.unwrap_or(COUNT_MAX)))
        })
    }

    /// How many calls its answers depend on with these parameters, in their order, at least 1; `None` when its author does not
    /// say. May exceed [`REMEMBERS_MAX`].
    pub fn remembers(&self, params: &[f64]) -> Option<u64> {
        let remembers = self.worst_case.remembers.as_ref()?;
        let product = self.product(&remembers.params, params);
        Some(u64::from(remembers.calls).saturating_mul(product).max(1))
    }

    pub(super) fn check_waits(&self) -> Result<(), MetadataError> {
        let at = "worst_case.verdict_after";
        let waits = self.worst_case.verdict_after.as_deref().unwrap_or_default();
        if waits.len() > ENTRIES_MAX {
            return Err(refuse(
                at,
                format!("{} entries; at most {ENTRIES_MAX}", waits.len()),
            ));
        }
        for wait in waits {
            if self.waveform.is_none() && matches!(wait, Wait::Samples(_)) {
                return Err(refuse(at, "`samples` without a waveform; say `calls`"));
            }
            if wait.params().is_empty() {
                return Err(refuse(
                    at,
                    format!("name 1 to {ENTRIES_MAX} parameters that are multiplied"),
                ));
            }
            self.check_counts(at, wait.params())?;
        }
        Ok(())
    }

    /// What the module waits for with these parameters, in their order; `None` when its author does not say.
    pub fn waits(&self, params: &[f64]) -> Option<Waits> {
        let mut sum = Waits::default();
        for wait in self.worst_case.verdict_after.as_ref()? {
            let product = self.product(wait.params(), params);
            let of = match wait {
                Wait::Calls(_) => &mut sum.calls,
                Wait::Samples(_) => &mut sum.samples,
            };
            *of = of.saturating_add(product);
        }
        Some(sum)
    }
}

/// A count, rounded up.
#[allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and what is no number is none"
)]
fn count(value: f64) -> u64 {
    value.ceil() as u64
}

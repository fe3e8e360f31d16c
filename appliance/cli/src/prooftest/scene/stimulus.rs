//! What makes a rule act, in words and as what is done to inputs.

use drivers_frame::TagId;
use rules_bundle::LanePlan;

use crate::units;

/// What is done to one input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Do {
    /// It shows this value.
    Show(f64),
    /// Its wire breaks, its module fails, or its source falls silent: whatever the device can do.
    Fail,
}

/// What must trip a rule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stimulus {
    /// What the inputs show before, while nothing trips; those that are not here are at rest.
    pub(crate) before: Vec<(TagId, f64)>,
    /// The inputs, and what is done to each; all others stay as they were.
    pub(crate) inputs: Vec<(TagId, Do)>,
}

impl Stimulus {
    /// In words.
    pub(crate) fn describe(&self, plan: &LanePlan) -> String {
        let shows = |(tag, value): &(TagId, f64)| {
            let tag = plan.tags.get(usize::from(tag.0))?;
            let value = units::value(*value);
            Some(
                format!("{} = {value} {}", tag.name, tag.unit)
                    .trim_end()
                    .to_owned(),
            )
        };
        let before: Vec<String> = self.before.iter().filter_map(shows).collect();
        let inputs: Vec<String> = self
            .inputs
            .iter()
            .filter_map(|(tag, act)| match act {
                Do::Show(value) => shows(&(*tag, *value)),
                Do::Fail => Some(format!("{} fails", plan.tags.get(usize::from(tag.0))?.name)),
            })
            .collect();
        if before.is_empty() {
            inputs.join(", ")
        } else {
            format!("{}; then {}", before.join(", "), inputs.join(", "))
        }
    }

    /// Whether it is by a value that the rule trips, not by the loss of one.
    pub(crate) fn shows_values(&self) -> bool {
        self.inputs
            .iter()
            .all(|(_, act)| matches!(act, Do::Show(_)))
    }
}

/// Something that is not tested, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Untested {
    pub(crate) what: String,
    pub(crate) why: String,
}

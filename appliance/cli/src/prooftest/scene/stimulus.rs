//! What makes a rule act, in words and as what is done to inputs.

use std::sync::Arc;
use std::time::Duration;

use drivers_frame::{DurNs, TagId};
use ring::digest::{Context, SHA256};
use rules_bundle::LanePlan;

use crate::units;

/// What is done to one input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Do {
    /// It shows this value.
    Show(f64),
    /// It moves from what it shows, by so much of its unit a second, until it shows this.
    Move {
        /// Not 0.
        per_second: f64,
        /// Where it stays then.
        until: f64,
    },
    /// Its wire breaks, its module fails, or its source falls silent: whatever the device can do.
    Fail,
    /// The envelopes of its messages are damaged, or by somebody without the key.
    Forge,
}

/// What is done to one waveform.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Play {
    /// These, one after the other; the last for ever.
    Pieces(Vec<Piece>),
    /// No block any more.
    Silent,
    /// The same blocks, in envelopes that are damaged, or by somebody without the key.
    Forged,
}

/// Samples in the numbers of the source, before its scale and offset: played again and again, cut into blocks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Piece {
    pub(crate) raw: Arc<[f64]>,
    /// After so many blocks the next piece begins.
    pub(crate) blocks: u32,
}

/// What is done at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Moment {
    /// Since the stimulus began.
    pub(crate) after: Duration,
    pub(crate) inputs: Vec<(TagId, Do)>,
    /// By the index of the waveform.
    pub(crate) waves: Vec<(usize, Play)>,
}

/// What is done to inputs and to waveforms at one moment.
type Acts<'s> = (&'s [(TagId, Do)], &'s [(usize, Play)]);

/// What must trip a rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stimulus {
    /// What the inputs show before, while nothing trips; those that are not here are at rest.
    pub(crate) before: Vec<(TagId, f64)>,
    /// The same of waveforms.
    pub(crate) before_waves: Vec<(usize, Play)>,
    /// The inputs, and what is done to each; all others stay as they were.
    pub(crate) inputs: Vec<(TagId, Do)>,
    /// The same of waveforms.
    pub(crate) waves: Vec<(usize, Play)>,
    /// What follows, in the order of time.
    pub(crate) later: Vec<Moment>,
    /// Where it is written that this must trip the rule; `None`: computed from the rule's own condition.
    pub(crate) origin: Option<String>,
    /// What it takes by itself until the last of what must be seen is there.
    pub(crate) takes: DurNs,
    /// It begins to be true and ends by itself, so that nothing stands against a reset after it.
    pub(crate) passes: bool,
}

impl Stimulus {
    /// In words.
    pub(crate) fn describe(&self, plan: &LanePlan) -> String {
        if let Some(origin) = &self.origin {
            return origin.clone();
        }
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
                Do::Move { per_second, until } => {
                    let tag = plan.tags.get(usize::from(tag.0))?;
                    let (speed, until) = (units::value(*per_second), units::value(*until));
                    let (name, unit) = (&tag.name, &tag.unit);
                    Some(format!(
                        "{name} moves by {speed} {unit} a second to {until} {unit}"
                    ))
                }
                Do::Forge => Some(format!(
                    "the envelopes of {} are wrong",
                    plan.tags.get(usize::from(tag.0))?.name
                )),
                Do::Fail => Some(format!("{} fails", plan.tags.get(usize::from(tag.0))?.name)),
            })
            .collect();
        let silent = self.waves.iter().filter_map(|(index, play)| {
            let name = &plan.waveforms.get(*index)?.name;
            match play {
                Play::Pieces(_) => None,
                Play::Silent => Some(format!("{name} falls silent")),
                Play::Forged => Some(format!("the envelopes of {name} are wrong")),
            }
        });
        let inputs: Vec<String> = inputs.into_iter().chain(silent).collect();
        if before.is_empty() {
            inputs.join(", ")
        } else {
            format!("{}; then {}", before.join(", "), inputs.join(", "))
        }
    }

    /// Everything that is done, beginning with what is done at once.
    pub(crate) fn moments(&self) -> impl Iterator<Item = Acts<'_>> {
        let first = (self.inputs.as_slice(), self.waves.as_slice());
        let later = self.later.iter();
        std::iter::once(first).chain(later.map(|one| (one.inputs.as_slice(), one.waves.as_slice())))
    }

    /// Whether it is by a value that the rule trips, not by the loss of one.
    pub(crate) fn shows_values(&self) -> bool {
        self.moments().all(|(inputs, waves)| {
            inputs
                .iter()
                .all(|(_, act)| !matches!(act, Do::Fail | Do::Forge))
                && waves
                    .iter()
                    .all(|(_, play)| matches!(play, Play::Pieces(_)))
        })
    }

    /// Whether it is by messages that only a simulated source sends.
    pub(crate) fn forges(&self) -> bool {
        self.moments().any(|(inputs, waves)| {
            inputs.iter().any(|(_, act)| *act == Do::Forge)
                || waves.iter().any(|(_, play)| *play == Play::Forged)
        })
    }

    /// SHA-256 of everything that is shown, so that two reports can be compared: hexadecimal.
    pub(crate) fn digest(&self) -> String {
        let mut context = Context::new(&SHA256);
        let mut word = |bytes: &[u8]| context.update(bytes);
        let tags = |word: &mut dyn FnMut(&[u8]), inputs: &[(TagId, Do)]| {
            for (tag, act) in inputs {
                word(&tag.0.to_le_bytes());
                match act {
                    Do::Show(value) => word(&value.to_bits().to_le_bytes()),
                    Do::Move { per_second, until } => {
                        word(b"move");
                        word(&per_second.to_bits().to_le_bytes());
                        word(&until.to_bits().to_le_bytes());
                    }
                    Do::Fail => word(b"fail"),
                    Do::Forge => word(b"forge"),
                }
            }
        };
        let waves = |word: &mut dyn FnMut(&[u8]), waves: &[(usize, Play)]| {
            for (wave, play) in waves {
                word(&u64::try_from(*wave).unwrap_or(u64::MAX).to_le_bytes());
                let pieces = match play {
                    Play::Pieces(pieces) => pieces.as_slice(),
                    Play::Silent => {
                        word(b"silent");
                        &[]
                    }
                    Play::Forged => {
                        word(b"forge");
                        &[]
                    }
                };
                for piece in pieces {
                    word(&piece.blocks.to_le_bytes());
                    for raw in piece.raw.iter() {
                        word(&raw.to_bits().to_le_bytes());
                    }
                }
            }
        };
        for (tag, value) in &self.before {
            tags(&mut word, &[(*tag, Do::Show(*value))]);
        }
        waves(&mut word, &self.before_waves);
        word(b"then");
        tags(&mut word, &self.inputs);
        waves(&mut word, &self.waves);
        for moment in &self.later {
            let after = u64::try_from(moment.after.as_nanos()).unwrap_or(u64::MAX);
            word(&after.to_le_bytes());
            tags(&mut word, &moment.inputs);
            waves(&mut word, &moment.waves);
        }
        let digest = context.finish();
        digest
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Something that is not tested, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Untested {
    pub(crate) what: String,
    pub(crate) why: String,
}

//! One channel's health over time: rate of change, frozen value, passivation and reintegration.
//!
//! Range and NE 43 bands are the codec's, freshness is the lane's; what either found bad comes through here too, so
//! that every way to be bad leads to the same way back.

use drivers_frame::{Cause, DurNs, MonoNs, Quality, Sample, planted};
use rules_bundle::{FrozenCheck, RateCheck, Reintegration, TagPlan};

/// What becomes of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Admission {
    /// It is the tag's newest sample, with this quality and cause.
    Take(Sample),
    /// A spike that is tolerated: what was known stays, and ages (H-4).
    Drop,
}

/// A channel's memory.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    rate: Option<RateCheck>,
    frozen: Option<FrozenCheck>,
    reintegration: Reintegration,
    /// Newest value that was believed.
    believed: Option<(f64, MonoNs)>,
    /// Implausible samples in a row.
    spikes: u8,
    /// Lowest and highest value since the last movement, and when that was.
    quiet: Option<(f64, f64, MonoNs)>,
    passivated: Option<Passivated>,
}

#[derive(Clone, Copy, Debug)]
struct Passivated {
    good_since: Option<MonoNs>,
    acknowledged: bool,
}

impl Health {
    pub(crate) fn new(plan: &TagPlan) -> Self {
        Self {
            rate: plan.checks.rate,
            frozen: plan.checks.frozen,
            reintegration: plan.reintegration,
            believed: None,
            spikes: 0,
            quiet: None,
            passivated: None,
        }
    }

    /// Whether no value of it is implausible: then a usable sample leaves nothing to remember here.
    pub(crate) fn is_unchecked(&self) -> bool {
        self.rate.is_none() && self.frozen.is_none()
    }

    /// Whether it was bad and has not come back.
    pub(crate) fn is_passivated(&self) -> bool {
        self.passivated.is_some()
    }

    /// Whether only a person's acknowledgement is missing.
    pub(crate) fn awaits_acknowledgement(&self) -> bool {
        self.reintegration == Reintegration::Acknowledge
            && self
                .passivated
                .is_some_and(|state| state.good_since.is_some() && !state.acknowledged)
    }

    /// A person acknowledges that the channel was bad. Counts only when it is good again.
    pub(crate) fn acknowledge(&mut self) -> bool {
        let waits = self.awaits_acknowledgement();
        if let Some(state) = &mut self.passivated {
            state.acknowledged |= waits || planted!(AcknowledgedWhileBad);
        }
        waits
    }

    /// The lane found it bad: stale, or frames lost.
    pub(crate) fn degrade(&mut self) {
        self.passivated = Some(Passivated {
            good_since: None,
            acknowledged: false,
        });
        // What comes after silence has nothing to be compared with.
        self.believed = None;
        self.quiet = None;
        self.spikes = 0;
    }

    /// Judges a sample.
    pub(crate) fn admit(&mut self, sample: &Sample) -> Admission {
        if !sample.quality.is_usable() {
            self.degrade();
            return Admission::Take(*sample);
        }
        if let Some(admission) = self.implausible(sample) {
            return admission;
        }
        if self.is_frozen(sample) {
            self.passivate();
            return bad(sample, Cause::Frozen);
        }
        let Some(state) = &mut self.passivated else {
            return Admission::Take(*sample);
        };
        let since = *state.good_since.get_or_insert(sample.at);
        let back = match self.reintegration {
            Reintegration::After(quiet) => {
                sample.at.since(since) >= quiet || planted!(QuietTimeIgnored)
            }
            Reintegration::Acknowledge => state.acknowledged || planted!(AcknowledgementNotNeeded),
        };
        if !back {
            return bad(sample, Cause::Passivated);
        }
        self.passivated = None;
        Admission::Take(*sample)
    }

    fn passivate(&mut self) {
        self.passivated = Some(Passivated {
            good_since: None,
            acknowledged: false,
        });
    }

    fn implausible(&mut self, sample: &Sample) -> Option<Admission> {
        let rate = self.rate?;
        if let Some((value, at)) = self.believed {
            let most = rate.per_second * seconds(sample.at.since(at));
            if (sample.value - value).abs() > most && !planted!(RateIgnored) {
                if self.spikes < rate.tolerated || planted!(SpikesToleratedForever) {
                    self.spikes = self.spikes.saturating_add(1);
                    return Some(Admission::Drop);
                }
                // From here on the new level is what the next sample is compared with: a true step comes back.
                self.believed = Some((sample.value, sample.at));
                self.quiet = None;
                self.passivate();
                return Some(bad(sample, Cause::RateOfChange));
            }
        }
        self.spikes = 0;
        self.believed = Some((sample.value, sample.at));
        None
    }

    fn is_frozen(&mut self, sample: &Sample) -> bool {
        let Some(check) = self.frozen else {
            return false;
        };
        let (low, high, since) = self
            .quiet
            .unwrap_or((sample.value, sample.value, sample.at));
        let (low, high) = (low.min(sample.value), high.max(sample.value));
        if high - low > check.noise {
            self.quiet = Some((sample.value, sample.value, sample.at));
            return false;
        }
        self.quiet = Some((low, high, since));
        sample.at.since(since) >= check.lasting && !planted!(FrozenUnnoticed)
    }
}

fn bad(sample: &Sample, cause: Cause) -> Admission {
    Admission::Take(Sample {
        value: 0.0,
        quality: Quality::Bad,
        cause,
        ..*sample
    })
}

#[expect(
    clippy::as_conversions,
    reason = "a span as seconds; a span of years loses less than a microsecond"
)]
fn seconds(span: DurNs) -> f64 {
    span.as_ns() as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use drivers_frame::TagId;
    use rules_bundle::{InputChecks, testing};

    use super::*;

    fn ms(ms: u64) -> MonoNs {
        MonoNs::from_ns(ms * 1_000_000)
    }

    fn health(checks: InputChecks, reintegration: Reintegration) -> Health {
        Health::new(&TagPlan {
            checks,
            reintegration,
            ..testing::tag("t", "degC", DurNs::from_ms(100))
        })
    }

    fn good(value: f64, at: u64) -> Sample {
        Sample {
            at: ms(at),
            value,
            tag: TagId(0),
            quality: Quality::Good,
            cause: Cause::None,
        }
    }

    fn cause(admission: Admission) -> Option<Cause> {
        match admission {
            Admission::Take(sample) => Some(sample.cause),
            Admission::Drop => None,
        }
    }

    const AT_ONCE: Reintegration = Reintegration::After(DurNs::ZERO);

    #[test]
    fn h04_a_spike_is_dropped_and_a_repeated_one_is_bad() {
        let rate = RateCheck {
            per_second: 10.0,
            tolerated: 2,
        };
        let mut health = health(
            InputChecks {
                rate: Some(rate),
                frozen: None,
            },
            AT_ONCE,
        );
        assert_eq!(cause(health.admit(&good(20.0, 0))), Some(Cause::None));
        assert_eq!(
            cause(health.admit(&good(90.0, 100))),
            None,
            "H-4: a single spike"
        );
        assert_eq!(cause(health.admit(&good(20.5, 200))), Some(Cause::None));
        for at in [300, 400] {
            assert_eq!(cause(health.admit(&good(90.0, at))), None);
        }
        assert_eq!(
            cause(health.admit(&good(90.0, 500))),
            Some(Cause::RateOfChange),
            "H-4: repeated"
        );
        assert_eq!(
            cause(health.admit(&good(90.1, 600))),
            Some(Cause::None),
            "a true step comes back"
        );
    }

    #[test]
    fn h02_a_value_that_does_not_move_is_bad_until_it_does() {
        let frozen = FrozenCheck {
            noise: 0.1,
            lasting: DurNs::from_ms(1_000),
        };
        let mut health = health(
            InputChecks {
                rate: None,
                frozen: Some(frozen),
            },
            AT_ONCE,
        );
        for at in (0..1_000).step_by(100) {
            assert_eq!(
                cause(health.admit(&good(5.0 + (at as f64) * 1e-5, at))),
                Some(Cause::None)
            );
        }
        for at in [1_000, 1_100] {
            assert_eq!(
                cause(health.admit(&good(5.0, at))),
                Some(Cause::Frozen),
                "H-2"
            );
        }
        assert_eq!(cause(health.admit(&good(5.2, 1_200))), Some(Cause::None));
        assert_eq!(
            cause(health.admit(&good(5.2, 2_100))),
            Some(Cause::None),
            "counted anew"
        );
    }

    #[test]
    fn a_channel_comes_back_after_its_quiet_time_without_a_break() {
        let mut health = health(
            InputChecks::default(),
            Reintegration::After(DurNs::from_ms(500)),
        );
        assert_eq!(cause(health.admit(&good(1.0, 0))), Some(Cause::None));
        health.degrade();
        assert!(health.is_passivated());
        for at in [100, 300, 599] {
            assert_eq!(cause(health.admit(&good(1.0, at))), Some(Cause::Passivated));
        }
        let broken = Sample {
            quality: Quality::Bad,
            cause: Cause::NotFinite,
            ..good(0.0, 600)
        };
        assert_eq!(cause(health.admit(&broken)), Some(Cause::NotFinite));
        assert_eq!(
            cause(health.admit(&good(1.0, 700))),
            Some(Cause::Passivated),
            "from the beginning"
        );
        assert_eq!(
            cause(health.admit(&good(1.0, 1_199))),
            Some(Cause::Passivated)
        );
        assert_eq!(cause(health.admit(&good(1.0, 1_200))), Some(Cause::None));
        assert!(!health.is_passivated());
    }

    #[test]
    fn a_channel_that_must_be_acknowledged_waits_for_it_and_it_counts_only_when_good() {
        let mut health = health(InputChecks::default(), Reintegration::Acknowledge);
        assert_eq!(cause(health.admit(&good(1.0, 0))), Some(Cause::None));
        health.degrade();
        assert!(!health.acknowledge(), "it is still bad");
        assert_eq!(
            cause(health.admit(&good(1.0, 100))),
            Some(Cause::Passivated)
        );
        assert!(health.awaits_acknowledgement());
        assert!(health.acknowledge());
        assert_eq!(cause(health.admit(&good(1.0, 200))), Some(Cause::None));
        health.degrade();
        assert_eq!(
            cause(health.admit(&good(1.0, 300))),
            Some(Cause::Passivated),
            "once is for once"
        );
    }
}

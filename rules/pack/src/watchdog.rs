//! Watchdogs of named stations: from a profile's name and a time to the registers that arm it and those that prove it.
//!
//! | profile | stations | time | arms | proves |
//! |---|---|---|---|---|
//! | `wago_750` | WAGO 750-3xx couplers, 750-8xx controllers with registers `0x1000` to `0x1008` | 100 ms to 6,553.5 s, in steps of 100 ms | stop, time, functions 5 and 6 feed it, start | time, functions, "running" |
//! | `turck` | Turck BL20, BL67, FGEN, TBEN | 1 ms to 65.535 s | time | time |
//! | `beckhoff_bk` | Beckhoff BK9xxx, BC9xxx, EK9000 | 1 ms to 60 s | reset, only writes feed it, time | time, "only writes" |
//!
//! Anything else is written out by the pack as a generic watchdog ([`generic`]). A PFC200 (WAGO 750-82xx) has other
//! registers (`0x1100` on) and needs that too.
//!
//! A time between two steps is rounded *down*: a station must never hold its outputs longer than the pack promises. The
//! rounded time is the plan's, so that everything that is computed from it is computed from what the station does.
//! Hazards: H-63, H-64.

use drivers_frame::DurNs;
use rt_config::limits::WATCHDOG_REGISTERS_MAX;
use rules_bundle::{RegisterMatch, RegisterValue, WatchdogPlan};

/// Stations whose watchdog is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchdogProfile {
    /// WAGO 750 with the classic registers. Source: WAGO 750-352 manual 1.3.0 and 750-880 manual 1.0.1, "Watchdog
    /// register": `0x1000` time in units of 100 ms; `0x1001` bit n-1 lets function n feed it; `0x1003` starts it when a
    /// value other than 0 and other than the last is written; `0x1006` is 0 not active, 1 active, 2 expired; `0x1008`
    /// stops it and clears an expiry with `0x55AA`. Time and functions cannot be changed while it runs. Off after
    /// power-up. Expired, process data is answered with exception 4.
    Wago750,
    /// Turck multiprotocol stations. Source: FGEN multiprotocol manual D301271, 9.5, and TBEN-L manual, "Modbus
    /// registers": `0x1120` is the time in ms; 0 (the default of most) holds the outputs for ever, above 0 they go to 0
    /// when it is over. Lost at power-down unless saved through `0x113E`.
    Turck,
    /// Beckhoff bus couplers. Source: Beckhoff Information System, "Modbus TCP interface" of BK9000/BC9000 and "Modbus
    /// configuration" of EK9000: `0x1120` is the time in ms, `0x1121` resets after an expiry with `0xBECF`, `0xAFFE`,
    /// `0x1122` is 1 when any telegram feeds it (the default), 0 when only writes do, 2 (EK9000) off. The time may only
    /// be written while the watchdog does not run, and is kept: a coupler that refuses it because it runs with that very
    /// time passes, because what is read back decides.
    BeckhoffBk,
}

/// Why a watchdog cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchdogError {
    /// Shorter than the station's smallest step.
    TooShort {
        /// The smallest.
        least: DurNs,
    },
    /// Longer than its register or its firmware holds.
    TooLong {
        /// The longest.
        most: DurNs,
    },
    /// Nothing would be read back: such a watchdog is never known to be armed.
    NothingToExpect,
    /// More registers than [`WATCHDOG_REGISTERS_MAX`] to write or to read.
    TooManyRegisters,
    /// An expectation that no register can fail, or none can meet: `mask` is 0, or `value` has bits outside it.
    EmptyMask {
        /// Its register.
        address: u16,
    },
}

impl core::fmt::Display for WatchdogError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooShort { least } => {
                write!(f, "the station's shortest watchdog time is {least}")
            }
            Self::TooLong { most } => write!(f, "the station's longest watchdog time is {most}"),
            Self::NothingToExpect => {
                f.write_str("nothing is read back, so it would never be known to be armed")
            }
            Self::TooManyRegisters => {
                write!(f, "more than {WATCHDOG_REGISTERS_MAX} registers")
            }
            Self::EmptyMask { address } => {
                write!(
                    f,
                    "the expectation of register {address} compares nothing, or bits outside its mask"
                )
            }
        }
    }
}

impl WatchdogProfile {
    /// Every profile.
    pub const ALL: [Self; 3] = [Self::Wago750, Self::Turck, Self::BeckhoffBk];

    /// The name in packs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wago750 => "wago_750",
            Self::Turck => "turck",
            Self::BeckhoffBk => "beckhoff_bk",
        }
    }

    /// By its name in packs.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.as_str() == name)
    }

    /// The smallest step of its time, which is also its shortest.
    pub const fn step(self) -> DurNs {
        match self {
            Self::Wago750 => DurNs::from_ms(100),
            Self::Turck | Self::BeckhoffBk => DurNs::from_ms(1),
        }
    }

    /// Its longest time.
    pub const fn longest(self) -> DurNs {
        match self {
            Self::Wago750 | Self::Turck => self.step().times(0xFFFF),
            // EK9000: "the maximum value is one minute"; the BK register would hold 65.535 s.
            Self::BeckhoffBk => DurNs::from_ms(60_000),
        }
    }

    /// The watchdog as registers. Its time is `time` rounded down to the station's step.
    ///
    /// # Errors
    /// [`WatchdogError::TooShort`] and [`WatchdogError::TooLong`].
    pub fn plan(self, time: DurNs, check_every: DurNs) -> Result<WatchdogPlan, WatchdogError> {
        let step = self.step();
        if time < step {
            return Err(WatchdogError::TooShort { least: step });
        }
        let most = self.longest();
        let steps = time
            .as_ns()
            .checked_div(step.as_ns())
            .and_then(|steps| u16::try_from(steps).ok())
            .filter(|_| time <= most)
            .ok_or(WatchdogError::TooLong { most })?;
        let (arm, expect) = self.registers(steps);
        Ok(WatchdogPlan {
            profile: self.as_str().to_owned(),
            time: step.times(u64::from(steps)),
            arm,
            expect,
            check_every,
        })
    }

    fn registers(self, steps: u16) -> (Vec<RegisterValue>, Vec<RegisterMatch>) {
        let write = |address, value| RegisterValue { address, value };
        let whole = |address, value| RegisterMatch {
            address,
            mask: 0xFFFF,
            value,
        };
        match self {
            Self::Wago750 => (
                vec![
                    write(0x1008, 0x55AA),
                    write(0x1000, steps),
                    // Functions 5 and 6: what refreshes a permit. A read must not keep a dead permit alive.
                    write(0x1001, 0x0030),
                    // Two values, so that one of them differs from the last whatever that was.
                    write(0x1003, 1),
                    write(0x1003, 2),
                ],
                vec![
                    whole(0x1000, steps),
                    whole(0x1001, 0x0030),
                    whole(0x1006, 1),
                ],
            ),
            Self::Turck => (vec![write(0x1120, steps)], vec![whole(0x1120, steps)]),
            Self::BeckhoffBk => (
                vec![
                    write(0x1121, 0xBECF),
                    write(0x1121, 0xAFFE),
                    write(0x1122, 0),
                    write(0x1120, steps),
                ],
                vec![whole(0x1120, steps), whole(0x1122, 0)],
            ),
        }
    }
}

/// A watchdog whose registers the pack states itself. `time` is what they mean, as the pack says.
///
/// # Errors
/// [`WatchdogError`] when nothing or too much is to be written and read, or an expectation compares nothing.
pub fn generic(
    time: DurNs,
    arm: Vec<RegisterValue>,
    expect: Vec<RegisterMatch>,
    check_every: DurNs,
) -> Result<WatchdogPlan, WatchdogError> {
    if expect.is_empty() {
        return Err(WatchdogError::NothingToExpect);
    }
    if arm.len() > WATCHDOG_REGISTERS_MAX || expect.len() > WATCHDOG_REGISTERS_MAX {
        return Err(WatchdogError::TooManyRegisters);
    }
    if let Some(empty) = expect
        .iter()
        .find(|register| register.mask == 0 || register.value & !register.mask != 0)
    {
        return Err(WatchdogError::EmptyMask {
            address: empty.address,
        });
    }
    Ok(WatchdogPlan {
        profile: "generic".to_owned(),
        time,
        arm,
        expect,
        check_every,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECK: DurNs = DurNs::from_ms(1_000);

    fn plan(profile: WatchdogProfile, ms: u64) -> WatchdogPlan {
        profile.plan(DurNs::from_ms(ms), CHECK).unwrap()
    }

    fn pairs(plan: &WatchdogPlan) -> Vec<(u16, u16)> {
        plan.arm.iter().map(|r| (r.address, r.value)).collect()
    }

    #[test]
    fn h64_a_wago_is_stopped_set_started_and_must_say_that_it_runs() {
        let plan = plan(WatchdogProfile::Wago750, 500);
        let arm = [
            (0x1008, 0x55AA),
            (0x1000, 5),
            (0x1001, 0x30),
            (0x1003, 1),
            (0x1003, 2),
        ];
        assert_eq!(pairs(&plan), arm);
        let running = RegisterMatch {
            address: 0x1006,
            mask: 0xFFFF,
            value: 1,
        };
        assert!(plan.expect.contains(&running));
        assert_eq!(plan.profile, "wago_750");
        assert_eq!(plan.check_every, CHECK);
    }

    #[test]
    fn h64_a_turck_holds_its_outputs_for_ever_until_its_time_is_written() {
        let plan = plan(WatchdogProfile::Turck, 1_234);
        assert_eq!(pairs(&plan), [(0x1120, 1_234)]);
        assert_eq!(plan.expect.len(), 1);
    }

    #[test]
    fn h64_only_writes_may_feed_a_beckhoff() {
        let plan = plan(WatchdogProfile::BeckhoffBk, 700);
        assert!(pairs(&plan).contains(&(0x1122, 0)));
        assert!(plan.expect.contains(&RegisterMatch {
            address: 0x1122,
            mask: 0xFFFF,
            value: 0
        }));
    }

    #[test]
    fn h63_a_time_is_rounded_down_to_what_the_station_holds_and_the_plan_says_so() {
        let between = plan(WatchdogProfile::Wago750, 599);
        assert_eq!(between.time, DurNs::from_ms(500));
        assert_eq!(between.arm.get(1).unwrap().value, 5);
        let odd = DurNs::from_us(1_999);
        let rounded = WatchdogProfile::Turck.plan(odd, CHECK).unwrap();
        assert_eq!(rounded.time, DurNs::from_ms(1));
    }

    #[test]
    fn a_time_that_the_station_cannot_hold_is_refused() {
        for profile in WatchdogProfile::ALL {
            let (step, most) = (profile.step(), profile.longest());
            let below = DurNs::from_ns(step.as_ns() - 1);
            assert_eq!(
                profile.plan(below, CHECK),
                Err(WatchdogError::TooShort { least: step })
            );
            let beyond = DurNs::from_ns(most.as_ns() + 1);
            assert_eq!(
                profile.plan(beyond, CHECK),
                Err(WatchdogError::TooLong { most })
            );
            assert_eq!(profile.plan(step, CHECK).unwrap().time, step);
            assert_eq!(profile.plan(most, CHECK).unwrap().time, most);
        }
    }

    #[test]
    fn every_profile_fits_its_limits_and_is_found_by_its_name() {
        for profile in WatchdogProfile::ALL {
            assert_eq!(WatchdogProfile::named(profile.as_str()), Some(profile));
            let plan = plan(profile, 1_000);
            assert!(plan.arm.len() <= WATCHDOG_REGISTERS_MAX);
            let again = generic(plan.time, plan.arm.clone(), plan.expect.clone(), CHECK).unwrap();
            assert_eq!(again.expect, plan.expect);
        }
        assert_eq!(WatchdogProfile::named("wago"), None);
    }

    #[test]
    fn h64_a_generic_watchdog_that_proves_nothing_is_refused() {
        let compares = |mask, value| RegisterMatch {
            address: 9,
            mask,
            value,
        };
        let made = |expect| generic(CHECK, Vec::new(), expect, CHECK).err();
        assert_eq!(made(vec![]), Some(WatchdogError::NothingToExpect));
        for empty in [compares(0, 0), compares(0x0F, 0x10)] {
            assert_eq!(
                made(vec![empty]),
                Some(WatchdogError::EmptyMask { address: 9 })
            );
        }
        let many = vec![compares(1, 1); WATCHDOG_REGISTERS_MAX + 1];
        assert_eq!(made(many), Some(WatchdogError::TooManyRegisters));
        assert_eq!(made(vec![compares(1, 1)]), None);
    }
}

//! What a unit of an analyzer's fuel costs on this host, measured with an instance that is thrown away.
//!
//! Which thread: the lane's, before it is sealed. May it block: no; a call takes its deadline at most.

use appliance_sandbox::{AnalyzerInstance, Frame, InputValue, OutputValue, Samples};
use drivers_frame::{MonoNs, Scaling};
use rt_config::limits::{CALL_FUEL, COPY_FUEL_PER_BYTE};
use rules_sdk_abi::Flags;

/// Repetitions, of which the best counts: a single pre-emption is not the host's speed.
const REPETITIONS: u32 = 8;

/// An instance of class safety and what it is given.
pub(crate) struct Price {
    pub(super) instance: AnalyzerInstance,
    pub(super) inputs: Vec<InputValue>,
    pub(super) outputs: usize,
    pub(super) block: Option<Vec<u8>>,
    pub(super) rate_hz: f64,
    pub(super) scaling: Scaling,
}

impl Price {
    /// Picoseconds a unit of fuel. `None` when it gave no answer to what it was given: that is no measure of the host.
    pub(crate) fn measure(&mut self, now: impl Fn() -> MonoNs) -> Option<u64> {
        let mut outputs = vec![OutputValue::BAD; self.outputs];
        let mut best: Option<u64> = None;
        for sequence in 0..REPETITIONS {
            let frame = Frame {
                at: now(),
                flags: Flags::CANARY,
                inputs: &self.inputs,
                block: self.block.as_deref().map(|bytes| Samples::Ready {
                    bytes,
                    sequence: u64::from(sequence),
                    rate_hz: self.rate_hz,
                    scaling: self.scaling,
                }),
            };
            let begin = now();
            let answer = self.instance.process(&frame, &mut outputs).ok()?;
            let time = now().since(begin).as_ns();
            let bytes = self.block.as_ref().map_or(0, Vec::len);
            let price = per_unit(time, answer.fuel, u64::try_from(bytes).unwrap_or(u64::MAX));
            best = Some(best.map_or(price, |best| best.min(price)));
        }
        best
    }
}

/// Picoseconds a unit, of a call that took `time_ns` for `fuel` and the copy of `bytes`: counted as reaction times count them.
fn per_unit(time_ns: u64, fuel: u64, bytes: u64) -> u64 {
    let copy = bytes.saturating_mul(COPY_FUEL_PER_BYTE);
    let units = fuel.saturating_add(copy).saturating_add(CALL_FUEL);
    time_ns
        .saturating_mul(1_000)
        .checked_div(units)
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h29_a_module_that_does_little_does_not_make_the_host_look_slow() {
        // A machine that stands still: 16,384 samples are copied, then the module returns.
        assert_eq!(per_unit(20_000, 400, 65_536), 302);
        assert_eq!(per_unit(120, 10, 0), 451);
        // Work that takes too long is seen whatever was copied.
        assert!(per_unit(20_000_000, 1_000_000, 65_536) > 10_000, "H-29");
    }
}

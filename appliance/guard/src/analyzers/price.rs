//! What a unit of an analyzer's fuel costs on this host, measured with an instance that is thrown away.
//!
//! Which thread: the lane's, before it is sealed. May it block: no; a call takes its deadline at most.

use appliance_sandbox::{AnalyzerInstance, Frame, InputValue, OutputValue, Samples};
use drivers_frame::{MonoNs, Scaling};
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
            let price = time.saturating_mul(1_000).checked_div(answer.fuel)?;
            best = Some(best.map_or(price, |best| best.min(price)));
        }
        best
    }
}

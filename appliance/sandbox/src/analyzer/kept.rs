//! A call in bytes, as the module saw it: out of one instance's exchange area, into another's.
//!
//! Which thread: [`AnalyzerInstance::keep`] that of the analyzer, the rest off the lane. May it block: no; one copy. Hazard: H-41.

use std::ops::Range;

use rules_sdk_abi::{Flags, HEADER_BYTES};

use super::fault::AnalyzerFault;
use super::instance::{AnalyzerInstance, Answer, OutputValue, to_usize};
use super::module::Shape;

impl AnalyzerInstance {
    /// Copies what was written for a call: header, inputs, and as many samples as there are.
    /// `kept` has room for them.
    pub(super) fn keep(&mut self, kept: &mut [u8]) {
        let Ok((shape, exchange)) = self.exchange() else {
            return;
        };
        for (own, other) in shape.kept(exchange) {
            if let (Some(from), Some(to)) = (exchange.get(own), kept.get_mut(other)) {
                to.copy_from_slice(from);
            }
        }
    }

    /// The other way. Outputs are bad until the module writes them, as in every call.
    fn write_kept(&mut self, kept: &[u8]) -> Result<(), AnalyzerFault> {
        let restarted = self.restarted;
        let (shape, exchange) = self.exchange()?;
        for (own, other) in shape.kept(kept) {
            let from = kept.get(other).ok_or(AnalyzerFault::Counts)?;
            let to = exchange.get_mut(own).ok_or(AnalyzerFault::Counts)?;
            to.copy_from_slice(from);
        }
        if let Some([_, flags]) = exchange.as_chunks_mut::<4>().0.first_chunk_mut::<2>() {
            let others = u32::from_le_bytes(*flags) & !Flags::RESTARTED.0;
            let own = if restarted { Flags::RESTARTED.0 } else { 0 };
            *flags = (others | own).to_le_bytes();
        }
        shape.clear_outputs(exchange);
        Ok(())
    }

    /// A call as another instance saw it, in the bytes that [`AnalyzerInstance::keep`] left. Only
    /// [`Flags::RESTARTED`] is this instance's own.
    pub(super) fn process_again(
        &mut self,
        kept: &[u8],
        outputs: &mut [OutputValue],
    ) -> Result<Answer, AnalyzerFault> {
        outputs.fill(OutputValue::BAD);
        self.write_kept(kept)?;
        self.call(outputs)
    }
}

impl Shape {
    /// Header, inputs and samples of a call: where each is in the exchange area, and where among what is kept of it. `header`
    /// begins with the number of samples.
    fn kept(&self, header: &[u8]) -> [(Range<usize>, Range<usize>); 3] {
        let count = header.first_chunk::<4>().map_or(0, |count| {
            let each = self
                .spec
                .waveform
                .map_or(0, |waveform| waveform.format.bytes());
            to_usize(u32::from_le_bytes(*count).saturating_mul(each))
        });
        let layout = &self.layout;
        let (inputs, outputs) = (to_usize(layout.inputs), to_usize(layout.outputs));
        let samples = to_usize(layout.samples);
        let own = [
            0..to_usize(HEADER_BYTES),
            inputs..outputs,
            samples..samples.saturating_add(count),
        ];
        let mut end = 0_usize;
        own.map(|own| {
            let start = end;
            end = end.saturating_add(own.len());
            (own, start..end)
        })
    }
}

//! What a permit looks like on the wire: a level, a counter, a toggling bit. Frames are encoded here.

use drivers_modbus::codec::{self, ReadRequest, ReplyData, Table, WriteRequest};
use rules_bundle::OutputTarget;

/// A request as it is sent.
pub(crate) type Frame = [u8; codec::REQUEST_BYTES];

/// The write that stops.
pub fn safe_request(target: OutputTarget) -> WriteRequest {
    match target {
        OutputTarget::Coil { address, run } => WriteRequest::Coil { address, on: !run },
        OutputTarget::Register { address, safe, .. } | OutputTarget::Counter { address, safe } => {
            WriteRequest::Register {
                address,
                value: safe,
            }
        }
        OutputTarget::Toggle { address, safe } => WriteRequest::Coil { address, on: safe },
    }
}

/// The values of one output.
pub(crate) struct Values {
    unit: u8,
    target: OutputTarget,
    safe: WriteRequest,
    /// Encoded at load; only the transaction id changes.
    safe_frame: Frame,
    /// The last run value that was sent; counters and toggles go on from it.
    last_run: Option<WriteRequest>,
}

impl Values {
    pub(crate) fn new(unit: u8, target: OutputTarget) -> Self {
        let safe = safe_request(target);
        let mut safe_frame = [0; codec::REQUEST_BYTES];
        codec::encode_write(&mut safe_frame, 0, unit, &safe);
        Self {
            unit,
            target,
            safe,
            safe_frame,
            last_run: None,
        }
    }

    /// The write that stops, and its frame.
    pub(crate) fn safe(&mut self, transaction: u16) -> (WriteRequest, Frame) {
        if matches!(self.target, OutputTarget::Toggle { .. }) {
            // The next run value must be a change against the safe value that the place holds then.
            self.last_run = None;
        }
        let [first, second, ..] = &mut self.safe_frame;
        [*first, *second] = transaction.to_be_bytes();
        (self.safe, self.safe_frame)
    }

    /// The next run value: another one each time where the device wants to see it move.
    pub(crate) fn run(&mut self, transaction: u16) -> (WriteRequest, Frame) {
        let request = self.next_run();
        self.last_run = Some(request);
        (request, self.write(transaction, &request))
    }

    pub(crate) fn write(&self, transaction: u16, request: &WriteRequest) -> Frame {
        let mut frame = [0; codec::REQUEST_BYTES];
        codec::encode_write(&mut frame, transaction, self.unit, request);
        frame
    }

    pub(crate) fn read(&self, transaction: u16, request: &ReadRequest) -> Frame {
        let mut frame = [0; codec::REQUEST_BYTES];
        codec::encode_read(&mut frame, transaction, self.unit, request);
        frame
    }

    /// The read of the written place: function 1 for a coil, 3 for a register.
    pub(crate) const fn place(&self) -> ReadRequest {
        let table = match self.safe {
            WriteRequest::Coil { .. } => Table::Coils,
            WriteRequest::Register { .. } => Table::HoldingRegisters,
        };
        ReadRequest {
            table,
            address: self.safe.address(),
            count: 1,
        }
    }

    pub(crate) const fn unit(&self) -> u8 {
        self.unit
    }

    fn next_run(&self) -> WriteRequest {
        match self.target {
            OutputTarget::Coil { address, run } => WriteRequest::Coil { address, on: run },
            OutputTarget::Register { address, run, .. } => WriteRequest::Register {
                address,
                value: run,
            },
            OutputTarget::Counter { address, safe } => {
                let last = match self.last_run {
                    Some(WriteRequest::Register { value, .. }) => value,
                    _ => 0,
                };
                let mut value = count_up(last);
                if value == safe {
                    value = count_up(value);
                }
                WriteRequest::Register { address, value }
            }
            OutputTarget::Toggle { address, safe } => {
                let on = match self.last_run {
                    Some(WriteRequest::Coil { on, .. }) => !on,
                    _ => !safe,
                };
                WriteRequest::Coil { address, on }
            }
        }
    }
}

/// From 1 to 65535 and round again: 0 never, because a device that starts anew shows 0.
fn count_up(value: u16) -> u16 {
    value.checked_add(1).unwrap_or(1)
}

/// What a place holds, in the form of [`WriteRequest::wire_value`].
pub(crate) fn wire_value(data: &ReplyData<'_>) -> u16 {
    match data.register(0) {
        Some(register) => register,
        None if data.bit(0) == Some(true) => 0xFF00,
        None => 0x0000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(target: OutputTarget, count: usize) -> Vec<u16> {
        let mut values = Values::new(1, target);
        (0..count)
            .map(|_| values.run(0).0.wire_value())
            .collect::<Vec<u16>>()
    }

    #[test]
    fn a_counter_goes_round_from_1_to_65535_and_never_shows_the_safe_value() {
        for safe in [0, 1, 3, 0xFFFF] {
            let target = OutputTarget::Counter { address: 4, safe };
            let seen = runs(target, 200_000);
            assert!(seen.iter().all(|value| *value != safe && *value != 0));
            assert!(seen.windows(2).all(|pair| pair[0] != pair[1]));
            let mut whole: Vec<u16> = seen.clone();
            whole.sort_unstable();
            whole.dedup();
            let all = if safe == 0 { 65_535 } else { 65_534 };
            assert_eq!(whole.len(), all);
        }
    }

    #[test]
    fn a_toggle_changes_each_time_and_begins_with_what_is_not_safe() {
        for (safe, first, second) in [(false, 0xFF00, 0), (true, 0, 0xFF00)] {
            let target = OutputTarget::Toggle { address: 4, safe };
            assert_eq!(runs(target, 3), [first, second, first]);
        }
    }

    #[test]
    fn levels_do_not_move() {
        let coil = OutputTarget::Coil {
            address: 1,
            run: false,
        };
        assert_eq!(runs(coil, 2), [0, 0]);
        assert_eq!(safe_request(coil).wire_value(), 0xFF00);
        let register = OutputTarget::Register {
            address: 1,
            run: 7,
            safe: 8,
        };
        assert_eq!(runs(register, 2), [7, 7]);
        assert_eq!(safe_request(register).wire_value(), 8);
    }

    #[test]
    fn only_the_transaction_of_the_stop_frame_changes() {
        let target = OutputTarget::Toggle {
            address: 0x102,
            safe: true,
        };
        let mut values = Values::new(9, target);
        let (_, frame) = values.safe(0xABCD);
        assert_eq!(frame, [0xAB, 0xCD, 0, 0, 0, 6, 9, 5, 1, 2, 0xFF, 0]);
        let place = values.place();
        assert_eq!((place.table, place.address), (Table::Coils, 0x102));
    }
}

//! The device's memory and what a request does to it. No socket, no clock.
//!
//! What: 126 registers and 16 coils. Thread: the device's. Blocks: never. Allocates: never.
//!
//! | area | content |
//! |---|---|
//! | register 0 (holding and input) | the value; read only |
//! | registers 1 to 125 (holding and input) | at start 100 + n modulo 50, below every limit; a write is kept, so that a system finds its watchdog register as it left it |
//! | coil 0 | run: true runs, false is the stop |
//! | coils 1 to 15 | kept as written |
//! | discrete inputs 0 to 15 | the coils: feedback that follows at once |

use crate::wire::{ADU_BYTES_MAX, HEADER_BYTES, u16_at};

/// The register that carries the value, holding and input alike.
pub const VALUE_REGISTER: u16 = 0;
/// The coil that runs the machine: true is run, false is stop.
pub const RUN_COIL: u16 = 0;
/// The value while nothing is wrong.
pub const NORMAL: u16 = 100;
/// Above this the machine is to be stopped.
pub const LIMIT: u16 = 500;
/// The value of a demand.
pub const OVER: u16 = 900;

const _: () = assert!(NORMAL < LIMIT && LIMIT < OVER);

const REGISTERS: usize = 126;
const COILS: usize = 16;

const ILLEGAL_FUNCTION: u8 = 1;
const ILLEGAL_ADDRESS: u8 = 2;
const ILLEGAL_VALUE: u8 = 3;

/// The memory of the simulated device.
pub(crate) struct Plant {
    registers: [u16; REGISTERS],
    coils: [bool; COILS],
}

/// What answering one request did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effect {
    /// Bytes of the reply.
    pub(crate) reply_bytes: usize,
    /// The reply carries the value register.
    pub(crate) carries_value: bool,
    /// The run coil was written, with this state.
    pub(crate) run_written: Option<bool>,
}

impl Plant {
    pub(crate) fn new() -> Self {
        let mut registers = [0; REGISTERS];
        for (register, filler) in registers.iter_mut().zip((NORMAL..NORMAL + 50).cycle()) {
            *register = filler;
        }
        Self {
            registers,
            coils: [false; COILS],
        }
    }

    /// The value in the value register.
    pub(crate) fn value(&self) -> u16 {
        self.registers[usize::from(VALUE_REGISTER)]
    }

    pub(crate) fn set_value(&mut self, value: u16) {
        self.registers[usize::from(VALUE_REGISTER)] = value;
    }

    /// True while the machine may run.
    pub(crate) fn runs(&self) -> bool {
        self.coils[usize::from(RUN_COIL)]
    }

    /// Answers one whole request; the reply stands at the head of `reply`.
    pub(crate) fn answer(&mut self, request: &[u8], reply: &mut [u8; ADU_BYTES_MAX]) -> Effect {
        reply[..HEADER_BYTES].copy_from_slice(&request[..HEADER_BYTES]);
        let pdu = &request[HEADER_BYTES..];
        let done = match pdu[0] {
            1 | 2 => self.read_coils(pdu, reply),
            3 | 4 => self.read_registers(pdu, reply),
            5 => self.write_coil(pdu, reply),
            6 => self.write_register(pdu, reply),
            15 => self.write_coils(pdu, reply),
            16 => self.write_registers(pdu, reply),
            _ => Err(ILLEGAL_FUNCTION),
        };
        let effect = done.unwrap_or_else(|exception| {
            reply[HEADER_BYTES] = pdu[0] | 0x80;
            reply[HEADER_BYTES + 1] = exception;
            effect_of(2)
        });
        let length = effect.reply_bytes - 6;
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        reply[4..6].copy_from_slice(&length.to_be_bytes());
        effect
    }

    fn read_registers(&self, pdu: &[u8], reply: &mut [u8]) -> Result<Effect, u8> {
        let (first, count) = span(pdu, 5, REGISTERS, 125)?;
        let body = &mut reply[HEADER_BYTES..];
        body[0] = pdu[0];
        body[1] = u8::try_from(2 * count).map_err(|_| ILLEGAL_VALUE)?;
        let values = &self.registers[first..first + count];
        for (to, value) in body[2..].chunks_exact_mut(2).zip(values) {
            to.copy_from_slice(&value.to_be_bytes());
        }
        let mut effect = effect_of(2 + 2 * count);
        effect.carries_value = first == usize::from(VALUE_REGISTER);
        Ok(effect)
    }

    fn read_coils(&self, pdu: &[u8], reply: &mut [u8]) -> Result<Effect, u8> {
        let (first, count) = span(pdu, 5, COILS, COILS)?;
        let bytes = count.div_ceil(8);
        let body = &mut reply[HEADER_BYTES..];
        body[0] = pdu[0];
        body[1] = u8::try_from(bytes).map_err(|_| ILLEGAL_VALUE)?;
        body[2..2 + bytes].fill(0);
        for (n, coil) in self.coils[first..first + count].iter().enumerate() {
            body[2 + n / 8] |= u8::from(*coil) << (n % 8);
        }
        Ok(effect_of(2 + bytes))
    }

    fn write_coil(&mut self, pdu: &[u8], reply: &mut [u8]) -> Result<Effect, u8> {
        let (first, _) = exactly(pdu, 5)?;
        let on = match u16_at(pdu, 3) {
            0xff00 => true,
            0 => false,
            _ => return Err(ILLEGAL_VALUE),
        };
        *self.coils.get_mut(first).ok_or(ILLEGAL_ADDRESS)? = on;
        reply[HEADER_BYTES..HEADER_BYTES + 5].copy_from_slice(&pdu[..5]);
        let mut effect = effect_of(5);
        effect.run_written = (first == usize::from(RUN_COIL)).then_some(on);
        Ok(effect)
    }

    fn write_coils(&mut self, pdu: &[u8], reply: &mut [u8]) -> Result<Effect, u8> {
        let (first, count) = span(pdu, 6, COILS, COILS)?;
        let bytes = count.div_ceil(8);
        if usize::from(pdu[5]) != bytes || pdu.len() != 6 + bytes {
            return Err(ILLEGAL_VALUE);
        }
        for n in 0..count {
            self.coils[first + n] = (pdu[6 + n / 8] >> (n % 8)) & 1 == 1;
        }
        reply[HEADER_BYTES..HEADER_BYTES + 5].copy_from_slice(&pdu[..5]);
        let mut effect = effect_of(5);
        effect.run_written = (first == usize::from(RUN_COIL)).then_some(self.runs());
        Ok(effect)
    }

    fn write_register(&mut self, pdu: &[u8], reply: &mut [u8]) -> Result<Effect, u8> {
        let (first, _) = exactly(pdu, 5)?;
        self.store(first, u16_at(pdu, 3))?;
        reply[HEADER_BYTES..HEADER_BYTES + 5].copy_from_slice(&pdu[..5]);
        Ok(effect_of(5))
    }

    fn write_registers(&mut self, pdu: &[u8], reply: &mut [u8]) -> Result<Effect, u8> {
        let (first, count) = span(pdu, 6, REGISTERS, 123)?;
        if usize::from(pdu[5]) != 2 * count || pdu.len() != 6 + 2 * count {
            return Err(ILLEGAL_VALUE);
        }
        for n in 0..count {
            self.store(first + n, u16_at(pdu, 6 + 2 * n))?;
        }
        reply[HEADER_BYTES..HEADER_BYTES + 5].copy_from_slice(&pdu[..5]);
        Ok(effect_of(5))
    }

    /// Nobody but the stopwatch moves the value.
    fn store(&mut self, register: usize, value: u16) -> Result<(), u8> {
        if register == usize::from(VALUE_REGISTER) {
            return Err(ILLEGAL_ADDRESS);
        }
        *self.registers.get_mut(register).ok_or(ILLEGAL_ADDRESS)? = value;
        Ok(())
    }
}

fn effect_of(pdu_bytes: usize) -> Effect {
    Effect {
        reply_bytes: HEADER_BYTES + pdu_bytes,
        carries_value: false,
        run_written: None,
    }
}

/// Address and second number of a request whose PDU has exactly `bytes` bytes.
fn exactly(pdu: &[u8], bytes: usize) -> Result<(usize, usize), u8> {
    if pdu.len() == bytes {
        Ok((usize::from(u16_at(pdu, 1)), usize::from(u16_at(pdu, 3))))
    } else {
        Err(ILLEGAL_VALUE)
    }
}

/// First and count of a request over an area of `size`, whose PDU has `bytes` bytes (reads) or more (writes).
fn span(pdu: &[u8], bytes: usize, size: usize, most: usize) -> Result<(usize, usize), u8> {
    if pdu.len() < bytes || (bytes == 5 && pdu.len() != 5) {
        return Err(ILLEGAL_VALUE);
    }
    let first = usize::from(u16_at(pdu, 1));
    let count = usize::from(u16_at(pdu, 3));
    if count == 0 || count > most {
        return Err(ILLEGAL_VALUE);
    }
    if first + count > size {
        return Err(ILLEGAL_ADDRESS);
    }
    Ok((first, count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::short_request;

    fn ask(plant: &mut Plant, request: &[u8]) -> (Vec<u8>, Effect) {
        let mut reply = [0; ADU_BYTES_MAX];
        let effect = plant.answer(request, &mut reply);
        (reply[..effect.reply_bytes].to_vec(), effect)
    }

    fn adu(pdu: &[u8]) -> Vec<u8> {
        let length = u8::try_from(pdu.len() + 1).unwrap();
        let mut bytes = vec![0, 9, 0, 0, 0, length, 1];
        bytes.extend_from_slice(pdu);
        bytes
    }

    #[test]
    fn only_a_reply_with_register_0_carries_the_value() {
        let mut plant = Plant::new();
        plant.set_value(OVER);
        for function in [3, 4] {
            let (reply, effect) = ask(&mut plant, &short_request(5, function, 0, 1));
            assert_eq!(reply, [0, 5, 0, 0, 0, 5, 1, function, 2, 3, 132]);
            assert!(effect.carries_value);
            let (reply, effect) = ask(&mut plant, &short_request(6, function, 1, 125));
            assert_eq!(reply.len(), 9 + 250);
            assert!(!effect.carries_value);
        }
    }

    #[test]
    fn fillers_stay_below_the_limit() {
        assert!(Plant::new().registers.iter().all(|r| *r < LIMIT));
    }

    #[test]
    fn the_run_coil_is_seen_in_single_and_multiple_writes() {
        let mut plant = Plant::new();
        assert!(!plant.runs(), "a machine starts stopped");
        let (reply, effect) = ask(&mut plant, &short_request(1, 5, 0, 0xff00));
        assert_eq!(reply, short_request(1, 5, 0, 0xff00), "FC5 echoes");
        assert_eq!(effect.run_written, Some(true));
        assert!(plant.runs());
        assert_eq!(ask(&mut plant, &adu(&[1, 0, 0, 0, 9])).0[7..], [1, 2, 1, 0]);
        let (_, effect) = ask(&mut plant, &adu(&[15, 0, 0, 0, 2, 1, 0b10]));
        assert_eq!(effect.run_written, Some(false));
        assert!(!plant.runs());
        assert_eq!(ask(&mut plant, &adu(&[2, 0, 0, 0, 2])).0[7..], [2, 1, 0b10]);
        let (_, effect) = ask(&mut plant, &short_request(1, 5, 1, 0));
        assert_eq!(effect.run_written, None, "another coil is not the stop");
    }

    #[test]
    fn written_registers_are_kept_and_the_value_is_read_only() {
        let mut plant = Plant::new();
        ask(&mut plant, &short_request(1, 6, 40, 777));
        ask(&mut plant, &adu(&[16, 0, 41, 0, 1, 2, 0, 9]));
        let (reply, _) = ask(&mut plant, &short_request(1, 3, 40, 2));
        assert_eq!(reply[9..], [3, 9, 0, 9]);
        let (reply, _) = ask(&mut plant, &short_request(1, 6, 0, 777));
        assert_eq!(reply[7..], [0x86, ILLEGAL_ADDRESS]);
        assert_eq!(plant.value(), NORMAL);
    }

    #[test]
    fn what_is_not_served_is_an_exception_and_changes_nothing() {
        let mut plant = Plant::new();
        let cases: [(&[u8], u8); 8] = [
            (&[3, 0, 0, 0, 126], ILLEGAL_VALUE),
            (&[3, 0, 0, 0, 0], ILLEGAL_VALUE),
            (&[3, 0, 2, 0, 125], ILLEGAL_ADDRESS),
            (&[5, 0, 0, 0, 1], ILLEGAL_VALUE),
            (&[5, 0, 16, 0, 0], ILLEGAL_ADDRESS),
            (&[15, 0, 0, 0, 2, 2, 1], ILLEGAL_VALUE),
            (&[3], ILLEGAL_VALUE),
            (&[43, 14, 1, 0], ILLEGAL_FUNCTION),
        ];
        for (pdu, exception) in cases {
            let (reply, effect) = ask(&mut plant, &adu(pdu));
            assert_eq!(reply[7..], [pdu[0] | 0x80, exception], "{pdu:?}");
            assert_eq!((effect.run_written, effect.carries_value), (None, false));
        }
        assert!(!plant.runs());
    }
}

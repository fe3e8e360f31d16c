//! Sources of blocks: what is played becomes messages, or windows of registers with a number that counts.

use std::io;
use std::time::Duration;

use drivers_frame::block::SequenceType;
use drivers_frame::{ByteOrder, DurNs, SampleKind, ValueCodec, ValueType, WordOrder};
use drivers_sim::image::Table;
use drivers_sim::stations::Stations;
use drivers_sim::wave::{PayloadForm, SampleForm, SequenceForm};
use rules_bundle::{LanePlan, LinkPlan, WaveformPlan, WaveformSource};
use rumqttc::{Client, QoS};

use super::letters::{Keys, Letters};
use super::stage::Book;
use crate::prooftest::raw;
use crate::prooftest::scene::{Piece, Play};

/// A source that is behind by more than this leaves out what it missed: the host was suspended.
const BEHIND_MAX: Duration = Duration::from_secs(5);

/// Time between two blocks of a simulated source. Blocks that follow one another come at the rate of their samples, because that
/// rate is watched; a source that pauses between blocks keeps the period that its pack states, a little faster.
pub(in crate::prooftest) fn block_interval(wave: &WaveformPlan) -> DurNs {
    let span = wave.span();
    match wave.period {
        Some(period) if period > span.times(2) => DurNs::from_ns(period.as_ns() / 10 * 9),
        Some(period) => DurNs::from_ns(span.as_ns().min(period.as_ns())),
        None => span,
    }
}

enum Place {
    Topic {
        topic: String,
        qos: QoS,
        form: PayloadForm,
        letters: Option<Box<Letters>>,
    },
    Window {
        station: usize,
        table: Table,
        address: u16,
        sequence: u16,
        sample: ValueCodec,
        number: ValueCodec,
    },
    Nowhere,
}

/// One source.
pub(super) struct Wave {
    place: Place,
    /// Its messages are not as they left their source.
    forged: bool,
    samples: usize,
    interval: Duration,
    due: Duration,
    sequence: u64,
    pieces: Vec<Piece>,
    /// The piece that is played, its blocks so far, and the sample that comes next.
    piece: usize,
    blocks: u32,
    at: usize,
}

impl Wave {
    /// The source of a waveform of a lane; silent until it is told what to play.
    pub(super) fn draft(
        wave: &WaveformPlan,
        lane: &LanePlan,
        book: &mut Book,
        keys: &Keys,
    ) -> io::Result<Self> {
        let samples = usize::try_from(wave.samples).unwrap_or(usize::MAX);
        let place = match &wave.source {
            WaveformSource::Mqtt {
                topic,
                qos,
                first,
                byte_order,
                sequence,
                envelope,
            } => Place::Topic {
                letters: envelope
                    .as_ref()
                    .map(|plan| Letters::new(topic, plan, keys).map(Box::new))
                    .transpose()?,
                topic: topic.clone(),
                qos: if *qos == 0 {
                    QoS::AtMostOnce
                } else {
                    QoS::AtLeastOnce
                },
                form: PayloadForm {
                    count: samples,
                    samples: match wave.format {
                        SampleKind::F32 => SampleForm::F32,
                        // The numbers are those of the source already.
                        SampleKind::I16 => SampleForm::I16(1.0),
                    },
                    header: usize::try_from(*first).unwrap_or(0),
                    little_endian: *byte_order == ByteOrder::LittleEndian,
                    sequence: sequence.map(|place| SequenceForm {
                        offset: usize::try_from(place.at).unwrap_or(0),
                        bytes: place.width.bytes(),
                    }),
                },
            },
            WaveformSource::Modbus {
                table,
                address,
                sequence,
                sequence_width,
                byte_order,
                word_order,
            } => window(
                wave,
                lane,
                book,
                (*table, *address, *sequence, *sequence_width),
                (*byte_order, *word_order),
            ),
        };
        Ok(Self {
            place,
            forged: false,
            samples,
            interval: Duration::from_nanos(block_interval(wave).as_ns()),
            due: Duration::ZERO,
            sequence: 0,
            pieces: Vec::new(),
            piece: 0,
            blocks: 0,
            at: 0,
        })
    }

    /// Bytes of its messages; `None` when it sends none.
    pub(super) fn payload_bytes(&self) -> Option<usize> {
        match &self.place {
            Place::Topic { form, .. } => {
                // An envelope is shorter than what messages are given room for beside their payload.
                let sample = match form.samples {
                    SampleForm::F32 => 4,
                    SampleForm::I16(_) => 2,
                };
                Some(
                    form.header
                        .saturating_add(form.count.saturating_mul(sample)),
                )
            }
            Place::Window { .. } | Place::Nowhere => None,
        }
    }

    /// From the next block on.
    pub(super) fn play(&mut self, play: &Play) {
        self.forged = *play == Play::Forged;
        self.pieces = match play {
            Play::Pieces(pieces) => pieces.clone(),
            Play::Silent => Vec::new(),
            // The same blocks.
            Play::Forged => return,
        };
        (self.piece, self.blocks, self.at) = (0, 0, 0);
    }

    /// The block that is due, and its number. While it is silent nothing counts.
    pub(super) fn next(&mut self, now: Duration) -> Option<(u64, Vec<f64>)> {
        if now < self.due {
            return None;
        }
        self.due = if now.saturating_sub(self.due) > BEHIND_MAX {
            now + self.interval
        } else {
            self.due + self.interval
        };
        let last = self.pieces.len().checked_sub(1)?;
        let piece = self.pieces.get(self.piece)?;
        let mut raw = Vec::with_capacity(self.samples);
        for _ in 0..self.samples {
            raw.push(piece.raw.get(self.at).copied().unwrap_or(0.0));
            self.at = (self.at + 1) % piece.raw.len().max(1);
        }
        self.blocks = self.blocks.saturating_add(1);
        if self.blocks >= piece.blocks && self.piece < last {
            (self.piece, self.blocks, self.at) = (self.piece + 1, 0, 0);
        }
        self.sequence = self.sequence.wrapping_add(1);
        Some((self.sequence, raw))
    }

    /// Sends a block.
    pub(super) fn show(
        &mut self,
        stations: &Stations,
        client: Option<&Client>,
        sequence: u64,
        raw: &[f64],
    ) {
        match &mut self.place {
            Place::Topic {
                topic,
                qos,
                form,
                letters,
            } => {
                let Some(client) = client else { return };
                let samples: Vec<f32> = raw.iter().map(|sample| *sample as f32).collect();
                let mut payload = form.payload(sequence, &samples);
                if let Some(letters) = letters {
                    payload = letters.seal(&payload, self.forged);
                }
                // A queue that is full means that the broker is not up yet; the sequence shows what was lost.
                let _ = client.try_publish(topic.as_str(), *qos, false, payload);
            }
            Place::Window {
                station,
                table,
                address,
                sequence: number_at,
                sample,
                number,
            } => {
                // The memory is held: number and window change as one.
                stations.with_image(*station, |image, _| {
                    let mut at = *address;
                    for value in raw {
                        let bits = raw::raw_of(sample, *value).unwrap_or(0);
                        for word in raw::words(sample, bits) {
                            image.set(*table, at, word);
                            at = at.wrapping_add(1);
                        }
                    }
                    for (offset, word) in (0_u16..).zip(raw::words(number, sequence)) {
                        image.set(*table, number_at.saturating_add(offset), word);
                    }
                });
            }
            Place::Nowhere => {}
        }
    }
}

fn window(
    wave: &WaveformPlan,
    lane: &LanePlan,
    book: &mut Book,
    (table, address, sequence, width): (rules_bundle::Table, u16, u16, SequenceType),
    (bytes, words): (ByteOrder, WordOrder),
) -> Place {
    let device = lane.devices.get(usize::from(wave.device.0));
    let Some(LinkPlan::Modbus(modbus)) = device.map(|device| &device.link) else {
        return Place::Nowhere;
    };
    let station = book.station(&modbus.host, modbus.port, modbus.unit);
    let table = match table {
        rules_bundle::Table::Input => Table::InputRegister,
        _ => Table::HoldingRegister,
    };
    let codec = |kind| ValueCodec {
        bytes,
        words,
        ..ValueCodec::plain(kind)
    };
    let sample = codec(match wave.format {
        SampleKind::F32 => ValueType::F32,
        SampleKind::I16 => ValueType::I16,
    });
    let number = codec(match width {
        SequenceType::U8 | SequenceType::U16 => ValueType::U16,
        SequenceType::U32 => ValueType::U32,
        SequenceType::U64 => ValueType::U64,
    });
    if let Some(draft) = book.stations.get_mut(station) {
        let cells = u16::try_from(wave.registers()).unwrap_or(u16::MAX);
        draft.cover(table, address, cells);
        let cells = u16::try_from(number.kind.words()).unwrap_or(1);
        draft.cover(table, sequence, cells);
    }
    Place::Window {
        station,
        table,
        address,
        sequence,
        sample,
        number,
    }
}

//! Blocks of waveforms: what a payload must be, its place in the order, and the handing over of the buffer it lies in.

use super::{Handled, SubscriberSession};
use crate::codec::StreamReader;
use crate::config::WaveformSubscription;
use crate::counters::count;
use drivers_frame::block::{BlockOrder, BlockPlace, RateWatch, SequenceType};
use drivers_frame::{
    Block, BlockCounters, BlockHead, BlockNews, Cause, FrameSink, MonoNs, SampleLayout, Step,
    WaveformId,
};

/// How a topic's payloads are blocks.
#[derive(Debug)]
pub(super) struct Wave {
    config: WaveformSubscription,
    order: BlockOrder,
    rate: RateWatch,
    /// Blocks were not taken because of their rate.
    skipped: bool,
    /// Nothing tells how many blocks were missed while the link was down: no number, or one that wraps too soon.
    doubtful: bool,
}

/// What a message told of a waveform.
#[derive(Clone, Copy, Debug)]
pub(super) enum Told {
    /// The packet's last `behind` bytes are the block's samples.
    Block { head: BlockHead, behind: usize },
    /// It cannot be used.
    Bad {
        waveform: WaveformId,
        at: MonoNs,
        cause: Cause,
    },
    /// It is not taken.
    Nothing,
}

impl Wave {
    pub(super) fn new(config: &WaveformSubscription) -> Self {
        let numbered = match (config.sequence, &config.envelope) {
            (Some(field), _) => Some(field.kind),
            (None, Some(_)) => Some(SequenceType::U32),
            (None, None) => None,
        };
        Self {
            config: config.clone(),
            order: BlockOrder::new(numbered.unwrap_or(SequenceType::U64)),
            rate: RateWatch::new(config.count, config.rate_hz, config.rate_check),
            skipped: false,
            doubtful: numbered.is_none_or(|kind| kind == SequenceType::U8),
        }
    }

    /// A new connection: messages may have been missed.
    pub(super) fn reconnected(&mut self) {
        if self.doubtful {
            self.order.doubt();
        }
    }

    /// A block was lost on our side.
    fn lost(&mut self) {
        self.order.doubt();
    }

    /// A message whose payload cannot be used.
    pub(super) fn bad(&mut self, cause: Cause, at: MonoNs) -> Told {
        self.order.doubt();
        Told::Bad {
            waveform: self.config.waveform,
            at,
            cause,
        }
    }

    /// A block that came in order, of a rate that is not the one that it is read with.
    fn bad_rate(&mut self, at: MonoNs) -> Told {
        self.skipped = true;
        Told::Bad {
            waveform: self.config.waveform,
            at,
            cause: Cause::WrongRate,
        }
    }

    /// A payload; `letter` is the number in its envelope.
    pub(super) fn payload(
        &mut self,
        payload: &[u8],
        letter: Option<u32>,
        at: MonoNs,
        counters: &mut BlockCounters,
    ) -> Told {
        if payload.len() != self.config.payload_bytes() {
            count(&mut counters.malformed);
            return self.bad(Cause::Malformed, at);
        }
        let place = match (self.number(payload), letter) {
            (Some(number), _) => self.order.place(number),
            // The envelope has decided that it is the newest.
            (None, Some(number)) => self.order.place_news(u64::from(number)),
            (None, None) => BlockPlace::Next { missing: 0 },
        };
        match place {
            BlockPlace::Next { missing } => BlockCounters::add(&mut counters.missing, missing),
            BlockPlace::Restart => count(&mut counters.restarts),
            BlockPlace::Repeated => count(&mut counters.repeated),
            BlockPlace::Old => count(&mut counters.old),
        }
        if !place.is_taken() {
            return Told::Nothing;
        }
        let (sequence, gap) = self.order.stamp();
        let uncertain = gap && !place.is_counted();
        if !self.rate.note(sequence, at, uncertain) {
            count(&mut counters.wrong_rate);
            return self.bad_rate(at);
        }
        let gap = gap || std::mem::take(&mut self.skipped);
        let config = &self.config;
        Told::Block {
            head: BlockHead {
                waveform: config.waveform,
                at,
                sequence,
                gap,
                layout: SampleLayout::payload(config.kind, config.order),
                count: config.count,
                rate_hz: config.rate_hz,
            },
            behind: payload.len().saturating_sub(config.first),
        }
    }

    /// The number in a payload, if one is to be there.
    fn number(&self, payload: &[u8]) -> Option<u64> {
        let field = self.config.sequence?;
        let end = field.offset.saturating_add(field.kind.bytes());
        let bytes = payload.get(field.offset..end)?;
        let fold = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(match self.config.order {
            drivers_frame::ByteOrder::BigEndian => bytes.iter().fold(0, fold),
            drivers_frame::ByteOrder::LittleEndian => bytes.iter().rev().fold(0, fold),
        })
    }
}

impl SubscriberSession {
    /// Hands over what a packet led to; `reader` is the one that the packet came from. Nothing may be done with the
    /// reader in between.
    pub fn hand_over(
        &mut self,
        handled: Handled,
        reader: &mut StreamReader,
        sink: &mut impl FrameSink,
    ) -> Step {
        match handled {
            Handled::Frame => {
                let counters = &mut self.link.counters;
                match sink.push_frame(&self.samples) {
                    Ok(()) => count(&mut counters.frames),
                    Err(drivers_frame::QueueFull) => count(&mut counters.queue_full),
                }
                Step::Frame
            }
            Handled::Block => {
                self.hand_over_block(reader, sink);
                Step::Frame
            }
            Handled::Nothing | Handled::Up | Handled::Delivered(_) => Step::Progress,
        }
    }

    fn hand_over_block(&mut self, reader: &mut StreamReader, sink: &mut impl FrameSink) {
        let (index, told) = std::mem::replace(&mut self.told, (0, Told::Nothing));
        match told {
            Told::Nothing => {}
            Told::Bad {
                waveform,
                at,
                cause,
            } => {
                let news = BlockNews::Bad {
                    waveform,
                    at,
                    cause,
                };
                if sink.push_block(news).is_err() {
                    count(&mut self.link.counters.queue_full);
                }
            }
            Told::Block { head, behind } => {
                let pushed = self.take_block(head, behind, reader, sink);
                let counters = &mut self.link.counters.blocks;
                if pushed {
                    count(&mut counters.blocks);
                    BlockCounters::add(&mut counters.gaps, u64::from(head.gap));
                } else {
                    count(&mut counters.no_buffer);
                    if let Some(wave) = self.wave_mut(index) {
                        wave.lost();
                    }
                }
            }
        }
    }

    /// Whether the block found its way: a buffer for the reader, and room in the sink.
    fn take_block(
        &mut self,
        head: BlockHead,
        behind: usize,
        reader: &mut StreamReader,
        sink: &mut impl FrameSink,
    ) -> bool {
        let Some(empty) = self.spare.take().or_else(|| sink.take_empty()) else {
            return false;
        };
        let block = reader
            .exchange(empty)
            .and_then(|(buffer, end)| Block::new(head, buffer, end.saturating_sub(behind)));
        let refused = match block {
            Ok(block) => match sink.push_block(BlockNews::Block(block)) {
                Ok(()) => return true,
                Err(BlockNews::Block(block)) => Some(block.into_buffer()),
                Err(BlockNews::Bad { .. }) => None,
            },
            Err(buffer) => Some(buffer),
        };
        self.spare = refused;
        false
    }
}

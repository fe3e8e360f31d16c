//! Windows of registers that hold a block of a waveform, and the sequence register that counts their blocks.
//!
//! ```text
//!            same number                          number changed: torn
//!            ┌───┐                                ┌──────────────────┐
//!            ▼   │    number changed              ▼                  │   number is the same
//! due ──▶ ask ───┘──────────────────▶ piece, piece, ... piece ──▶ ask again ──────────────────▶ block
//! ```
//!
//! **Between the points of the device**: after each cycle over them at least one of these reads is done, and more while the next
//! cycle is not due. So a cycle begins later than it is due by at most one read of a window, and a device whose points
//! take all its time delivers its blocks all the same.
//!
//! **What lies in a window when a connection comes up** may be of any age: only a number that changed while this
//! connection was up is new (H-18).
//!
//! Hazards: H-10 (refused reads), H-17 (missing blocks), H-18 (old blocks), H-25 (no buffer).

use std::io::IoSliceMut;

use drivers_frame::block::{BlockOrder, BlockPlace, RateWatch};
use drivers_frame::{
    Block, BlockCounters, BlockHead, BlockNews, ByteOrder, Cause, FrameSink, MonoNs, WordOrder,
};
use rt_config::limits::MODBUS_REGISTERS_MAX;

use super::piece::{PieceReader, Progress};
use crate::codec::{ReadRequest, ReplyData};
use crate::config::Window;

/// A read for a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowRead {
    /// Its sequence register.
    Sequence {
        /// Which window, by its place in the configuration.
        window: usize,
    },
    /// Some of its registers.
    Piece {
        /// Which window.
        window: usize,
        /// First register, counted from the window's address.
        from: u16,
        /// How many.
        count: u16,
    },
}

/// How far the reading of a window is.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// None is being read.
    Rest,
    /// `done` registers of window `window` are there; its number is `sequence`.
    Pieces {
        window: usize,
        sequence: u64,
        done: u16,
    },
    /// All are there, and the number is to be asked for again.
    Again { window: usize, sequence: u64 },
}

#[derive(Debug)]
struct One {
    config: Window,
    order: BlockOrder,
    rate: RateWatch,
    /// Blocks were not taken because of their rate.
    skipped: bool,
    /// When its number is asked for next.
    due: MonoNs,
    /// The number that was shown last on this connection, and since when.
    shown: Option<(u64, MonoNs)>,
    /// Whether its block is new and was not handed over yet.
    fresh: bool,
}

/// All windows of a device.
#[derive(Debug)]
pub(super) struct Windows {
    all: Box<[One]>,
    stage: Stage,
    /// Where the window that is being read goes; kept when its reading fails.
    buffer: Option<Box<[u8]>>,
    reply: PieceReader,
    /// Whether a cycle over the points has ended since the last read of a window.
    owed: bool,
}

impl Windows {
    pub(super) fn new(windows: Vec<Window>) -> Self {
        let one = |config: Window| One {
            order: BlockOrder::new(config.sequence_kind),
            rate: RateWatch::new(config.count, config.rate_hz, config.rate_check),
            skipped: false,
            config,
            due: MonoNs::ZERO,
            shown: None,
            fresh: false,
        };
        Self {
            all: windows.into_iter().map(one).collect(),
            stage: Stage::Rest,
            buffer: None,
            reply: PieceReader::new(),
            owed: false,
        }
    }

    /// A new connection: what was read half is of no use, and what the windows hold is of unknown age.
    pub(super) fn connected(&mut self, now: MonoNs) {
        self.stage = Stage::Rest;
        self.owed = false;
        for one in &mut self.all {
            one.due = now;
            one.shown = None;
            one.fresh = false;
        }
    }

    /// A cycle over the points has ended.
    pub(super) const fn cycle_ended(&mut self) {
        self.owed = true;
    }

    /// Whether a read that is due comes before the points that are due.
    pub(super) const fn is_owed(&self) -> bool {
        self.owed
    }

    /// The next read, and when it is due; `None` without windows.
    pub(super) fn next(&self) -> Option<(WindowRead, MonoNs)> {
        match self.stage {
            Stage::Rest => {
                let (window, one) = self.all.iter().enumerate().min_by_key(|(_, one)| one.due)?;
                Some((WindowRead::Sequence { window }, one.due))
            }
            Stage::Pieces { window, done, .. } => {
                let registers = self.all.get(window)?.config.registers();
                let count = registers.saturating_sub(done).min(MODBUS_REGISTERS_MAX);
                let piece = WindowRead::Piece {
                    window,
                    from: done,
                    count,
                };
                Some((piece, MonoNs::ZERO))
            }
            Stage::Again { window, .. } => Some((WindowRead::Sequence { window }, MonoNs::ZERO)),
        }
    }

    /// What a read asks of the device.
    pub(super) fn request(&self, read: WindowRead) -> Option<ReadRequest> {
        let (window, from, count) = match read {
            WindowRead::Sequence { window } => (
                window,
                None,
                self.all.get(window)?.config.sequence_registers(),
            ),
            WindowRead::Piece {
                window,
                from,
                count,
            } => (window, Some(from), count),
        };
        let config = &self.all.get(window)?.config;
        let address = match from {
            None => config.sequence,
            Some(from) => config.address.checked_add(from)?,
        };
        Some(ReadRequest {
            table: config.table,
            address,
            count,
        })
    }

    /// A read is on its way.
    pub(super) const fn sent(&mut self) {
        self.owed = false;
        self.reply.clear();
    }

    /// Bytes of a piece's reply so far.
    pub(super) const fn filled(&self) -> usize {
        self.reply.filled()
    }

    /// Where the reply to a piece is received into.
    pub(super) fn space(&mut self, from: u16, count: u16) -> Option<[IoSliceMut<'_>; 3]> {
        let start = usize::from(from).saturating_mul(2);
        let end = start.saturating_add(usize::from(count).saturating_mul(2));
        let data = self.buffer.as_mut()?.get_mut(start..end)?;
        Some(self.reply.space(data))
    }

    /// `count` bytes were received into [`Windows::space`].
    pub(super) fn received(
        &mut self,
        count: usize,
        transaction: u16,
        unit: u8,
        request: &ReadRequest,
    ) -> Progress {
        self.reply.take(count, transaction, unit, request)
    }

    /// The registers of a piece are in place.
    pub(super) fn piece_done(&mut self, from: u16, count: u16) {
        if let Stage::Pieces {
            window, sequence, ..
        } = self.stage
        {
            let done = from.saturating_add(count);
            let registers = self.all.get(window).map_or(0, |one| one.config.registers());
            self.stage = if done < registers {
                Stage::Pieces {
                    window,
                    sequence,
                    done,
                }
            } else {
                Stage::Again { window, sequence }
            };
        }
    }

    /// A sequence number out of the reply to its read; the order of its registers is that of the samples.
    pub(super) fn number_in(&self, window: usize, data: &ReplyData<'_>) -> Option<u64> {
        let config = &self.all.get(window)?.config;
        (0..config.sequence_registers()).try_fold(0_u64, |number, index| {
            let index = match config.layout.words {
                WordOrder::BigEndian => index,
                WordOrder::LittleEndian => config
                    .sequence_registers()
                    .checked_sub(index)?
                    .checked_sub(1)?,
            };
            let word = data.register(index)?;
            let word = match config.layout.bytes {
                ByteOrder::BigEndian => word,
                ByteOrder::LittleEndian => word.swap_bytes(),
            };
            Some(number << 16 | u64::from(word))
        })
    }

    /// The sequence register of `window` is `number`. True when something was handed over.
    pub(super) fn number(
        &mut self,
        window: usize,
        number: u64,
        now: MonoNs,
        counters: &mut BlockCounters,
        sink: &mut impl FrameSink,
    ) -> bool {
        let stage = std::mem::replace(&mut self.stage, Stage::Rest);
        if let Stage::Again { sequence, .. } = stage {
            if sequence == number {
                return self.hand_over(window, now, counters, sink);
            }
            BlockCounters::add(&mut counters.torn, 1);
        }
        let Some(one) = self.all.get_mut(window) else {
            return false;
        };
        match one.shown {
            Some((shown, _)) if shown == number => {}
            before => {
                one.shown = Some((number, now));
                one.fresh = before.is_some();
            }
        }
        if !one.fresh {
            one.due = now.after(one.config.every);
            return false;
        }
        let needed = one.config.bytes();
        if self.buffer.is_none() {
            self.buffer = sink.take_empty();
        }
        if self.buffer.as_ref().is_some_and(|b| b.len() >= needed) {
            self.stage = Stage::Pieces {
                window,
                sequence: number,
                done: 0,
            };
        } else {
            // It stays in the device, and is read if a buffer is free before it is overwritten.
            BlockCounters::add(&mut counters.no_buffer, 1);
            one.due = now.after(one.config.every);
        }
        false
    }

    /// The window is whole.
    fn hand_over(
        &mut self,
        window: usize,
        now: MonoNs,
        counters: &mut BlockCounters,
        sink: &mut impl FrameSink,
    ) -> bool {
        let Some(one) = self.all.get_mut(window) else {
            return false;
        };
        one.due = now.after(one.config.every);
        one.fresh = false;
        let (Some((number, at)), Some(buffer)) = (one.shown, self.buffer.take()) else {
            return false;
        };
        let place = one.order.place_news(number);
        match place {
            BlockPlace::Next { missing } => BlockCounters::add(&mut counters.missing, missing),
            _ => BlockCounters::add(&mut counters.restarts, 1),
        }
        let (sequence, gap) = one.order.stamp();
        let config = &one.config;
        let uncertain = gap && !place.is_counted();
        if !one.rate.note(sequence, at, uncertain) {
            BlockCounters::add(&mut counters.wrong_rate, 1);
            one.skipped = true;
            self.buffer = Some(buffer);
            let news = BlockNews::Bad {
                waveform: config.waveform,
                at,
                cause: Cause::WrongRate,
            };
            return sink.push_block(news).is_ok();
        }
        let gap = gap || std::mem::take(&mut one.skipped);
        let head = BlockHead {
            waveform: config.waveform,
            at,
            sequence,
            gap,
            layout: config.layout,
            count: config.count,
            rate_hz: config.rate_hz,
        };
        let kept = match Block::new(head, buffer, 0).map(|b| sink.push_block(BlockNews::Block(b))) {
            Ok(Ok(())) => {
                BlockCounters::add(&mut counters.blocks, 1);
                BlockCounters::add(&mut counters.gaps, u64::from(gap));
                return true;
            }
            Ok(Err(BlockNews::Block(block))) => Some(block.into_buffer()),
            Ok(Err(BlockNews::Bad { .. })) => None,
            Err(buffer) => Some(buffer),
        };
        self.buffer = kept;
        BlockCounters::add(&mut counters.no_buffer, 1);
        one.order.doubt();
        false
    }

    /// The device refused a read: the waveform is bad, and asked for again when it is due. True when that was handed over.
    pub(super) fn refused(
        &mut self,
        window: usize,
        now: MonoNs,
        counters: &mut BlockCounters,
        sink: &mut impl FrameSink,
    ) -> bool {
        self.stage = Stage::Rest;
        BlockCounters::add(&mut counters.malformed, 1);
        let Some(one) = self.all.get_mut(window) else {
            return false;
        };
        one.due = now.after(one.config.every);
        one.order.doubt();
        let waveform = one.config.waveform;
        let news = BlockNews::Bad {
            waveform,
            at: now,
            cause: Cause::DeviceException,
        };
        sink.push_block(news).is_ok()
    }
}

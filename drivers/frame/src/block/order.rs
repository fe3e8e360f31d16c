//! The order of a waveform's blocks by the sequence number that its source counts.

/// How wide a source's sequence number is. It counts up by 1 and wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum SequenceType {
    /// One byte.
    U8,
    /// Two bytes, one register.
    U16,
    /// Four bytes, two registers.
    U32,
    /// Eight bytes, four registers.
    U64,
}

impl SequenceType {
    /// Bytes in a payload.
    pub const fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::U32 => 4,
            Self::U64 => 8,
        }
    }

    /// Largest number.
    const fn mask(self) -> u64 {
        match self {
            Self::U8 => 0xFF,
            Self::U16 => 0xFFFF,
            Self::U32 => 0xFFFF_FFFF,
            Self::U64 => u64::MAX,
        }
    }
}

/// Where a block stands among those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockPlace {
    /// The newest; `missing` are missing before it.
    Next {
        /// How many.
        missing: u64,
    },
    /// The newest of a source that began anew.
    Restart,
    /// The newest came before.
    Repeated,
    /// Older than the newest.
    Old,
}

impl BlockPlace {
    /// Whether it is known how many blocks are missing before it.
    pub const fn is_counted(self) -> bool {
        matches!(self, Self::Next { missing } if missing > 0)
    }

    /// Whether the block is taken.
    pub const fn is_taken(self) -> bool {
        matches!(self, Self::Next { .. } | Self::Restart)
    }
}

/// Blocks that follow one another on older numbers before their source counts as begun anew. One or two can be old
/// messages; a source that stays behind its own past would else be refused until it has caught up.
const RESTART_RUN: u8 = 3;

/// Keeps the order of one waveform's blocks, over connections.
///
/// A number ahead of the newest by less than a quarter of the turn is next, the newest itself is a repetition, anything
/// else is old: as in an envelope, but that has times to tell a restart by. Here [`RESTART_RUN`] blocks in a row do that.
#[derive(Clone, Copy, Debug)]
pub struct BlockOrder {
    sequence: SequenceType,
    newest: Option<u64>,
    /// The last old one, and how many followed one another up to it.
    behind: (u64, u8),
    /// What the next block is called.
    number: u64,
    /// Whether samples are missing before the next block.
    gap: bool,
}

impl BlockOrder {
    /// Nothing has come. The first block has a gap before it: what was before is not known.
    pub const fn new(sequence: SequenceType) -> Self {
        Self {
            sequence,
            newest: None,
            behind: (0, 0),
            number: 0,
            gap: true,
        }
    }

    /// Places a block that its source has numbered, and takes note of it.
    pub fn place(&mut self, raw: u64) -> BlockPlace {
        let mask = self.sequence.mask();
        let raw = raw & mask;
        let Some(newest) = self.newest else {
            self.newest = Some(raw);
            return BlockPlace::Next { missing: 0 };
        };
        let ahead = raw.wrapping_sub(newest) & mask;
        if ahead == 0 {
            return BlockPlace::Repeated;
        }
        if ahead <= mask >> 2 {
            let missing = ahead.saturating_sub(1);
            self.newest = Some(raw);
            self.behind.1 = 0;
            self.number = self.number.saturating_add(missing);
            self.gap |= missing > 0;
            return BlockPlace::Next { missing };
        }
        let (last, run) = self.behind;
        let follows = run > 0 && raw == last.wrapping_add(1) & mask;
        let run = if follows { run.saturating_add(1) } else { 1 };
        self.behind = (raw, run);
        if run < RESTART_RUN {
            return BlockPlace::Old;
        }
        self.restart(raw);
        BlockPlace::Restart
    }

    /// Places a number of which something else has shown that it is new: what is not ahead is a restart.
    pub fn place_news(&mut self, raw: u64) -> BlockPlace {
        let place = self.place(raw);
        if place.is_taken() {
            return place;
        }
        self.restart(raw & self.sequence.mask());
        BlockPlace::Restart
    }

    fn restart(&mut self, raw: u64) {
        self.newest = Some(raw);
        self.behind.1 = 0;
        self.gap = true;
    }

    /// A block was lost on our side, or something may have been missed: the next block has a gap before it.
    pub fn doubt(&mut self) {
        self.gap = true;
    }

    /// Number and gap flag of the block that is handed over now.
    pub fn stamp(&mut self) -> (u64, bool) {
        let stamp = (self.number, self.gap);
        self.number = self.number.saturating_add(1);
        self.gap = false;
        stamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(order: &mut BlockOrder, raw: u64) -> Option<(u64, bool)> {
        order.place(raw).is_taken().then(|| order.stamp())
    }

    #[test]
    fn h17_a_step_of_more_than_one_is_a_gap_and_wrapping_is_none() {
        for (sequence, last) in [
            (SequenceType::U8, 0xFF_u64),
            (SequenceType::U16, 0xFFFF),
            (SequenceType::U32, 0xFFFF_FFFF),
            (SequenceType::U64, u64::MAX),
        ] {
            let mut order = BlockOrder::new(sequence);
            assert_eq!(taken(&mut order, last - 1), Some((0, true)), "the first");
            assert_eq!(taken(&mut order, last), Some((1, false)));
            assert_eq!(taken(&mut order, 0), Some((2, false)), "{sequence:?}");
            assert_eq!(order.place(4), BlockPlace::Next { missing: 3 });
            assert_eq!(order.stamp(), (6, true), "H-17");
            assert_eq!(taken(&mut order, 5), Some((7, false)));
        }
    }

    #[test]
    fn h18_h19_what_came_before_and_what_is_older_is_not_taken() {
        let mut order = BlockOrder::new(SequenceType::U16);
        assert!(order.place(100).is_taken());
        assert_eq!(order.place(100), BlockPlace::Repeated, "H-18");
        assert_eq!(order.place(99), BlockPlace::Old, "H-19");
        assert_eq!(order.place(97), BlockPlace::Old);
        assert_eq!(order.place(99), BlockPlace::Old);
        assert_eq!(order.place(101), BlockPlace::Next { missing: 0 });
    }

    #[test]
    fn a_source_that_began_anew_is_taken_at_its_third_block_with_a_gap() {
        let mut order = BlockOrder::new(SequenceType::U32);
        assert_eq!(taken(&mut order, 9_000), Some((0, true)));
        assert_eq!(order.place(0), BlockPlace::Old);
        assert_eq!(order.place(1), BlockPlace::Old);
        assert_eq!(order.place(2), BlockPlace::Restart);
        assert_eq!(order.stamp(), (1, true), "numbers never go down");
        assert_eq!(taken(&mut order, 3), Some((2, false)));
        // Old messages between those of the present run are no run.
        assert_eq!(order.place(u64::from(u32::MAX)), BlockPlace::Old);
        assert_eq!(taken(&mut order, 4), Some((3, false)));
        assert_eq!(order.place(0), BlockPlace::Old, "the run was broken");
        assert_eq!(order.place(1), BlockPlace::Old);
    }

    #[test]
    fn a_number_that_is_known_to_be_new_is_never_old() {
        let mut order = BlockOrder::new(SequenceType::U16);
        assert!(order.place_news(500).is_taken());
        order.stamp();
        assert_eq!(order.place_news(3), BlockPlace::Restart);
        assert_eq!(order.stamp(), (1, true));
        assert_eq!(order.place_news(3), BlockPlace::Restart);
        assert_eq!(order.stamp(), (2, true));
        assert_eq!(order.place_news(4), BlockPlace::Next { missing: 0 });
        assert_eq!(order.stamp(), (3, false));
    }

    #[test]
    fn h25_what_is_lost_here_shows_in_the_next_block() {
        let mut order = BlockOrder::new(SequenceType::U16);
        assert_eq!(taken(&mut order, 1), Some((0, true)));
        assert_eq!(taken(&mut order, 2), Some((1, false)));
        order.doubt();
        assert_eq!(taken(&mut order, 3), Some((2, true)), "H-25");
        assert_eq!(taken(&mut order, 4), Some((3, false)));
    }
}

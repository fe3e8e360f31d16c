//! The way of waveform blocks from a driver into its lane, and of their buffers back: two wait-free rings, each with one
//! producer and one consumer. The buffers move; nothing in them is copied.
//!
//! ```text
//! driver ── push_block ──▶ [news] ──▶ pop ── lane
//!    ▲                                        │
//!    └── take_empty ◀── [empty] ◀── give_back ┘
//! ```
//!
//! No buffer free, or no room for news: the driver counts the block as lost, and the next one has a gap (H-25).

use drivers_frame::{Block, BlockNews};
use rtrb::{Consumer, Producer, RingBuffer};

/// The driver's end; a part of [`crate::queue::FrameProducer`].
pub struct BlockProducer {
    news: Producer<BlockNews>,
    empty: Consumer<Box<[u8]>>,
}

/// The lane's end.
pub struct BlockConsumer {
    news: Consumer<BlockNews>,
    empty: Producer<Box<[u8]>>,
}

/// Rings and `buffers` buffers of `bytes` bytes. A driver may bring one buffer more of its own into circulation.
///
/// Allocates; the ends never do.
pub fn block_queue(buffers: usize, bytes: usize) -> (BlockProducer, BlockConsumer) {
    let circulating = buffers.saturating_add(1);
    // As much room again for news without a buffer.
    let (news, news_out) = RingBuffer::new(circulating.saturating_mul(2));
    let (mut empty_in, empty) = RingBuffer::new(circulating);
    for _ in 0..buffers {
        // There is room: it was made for one more.
        let _ = empty_in.push(vec![0; bytes].into_boxed_slice());
    }
    (
        BlockProducer { news, empty },
        BlockConsumer {
            news: news_out,
            empty: empty_in,
        },
    )
}

impl BlockProducer {
    /// An empty buffer, if there is one.
    pub fn take_empty(&mut self) -> Option<Box<[u8]>> {
        self.empty.pop().ok()
    }

    /// Hands over news.
    ///
    /// # Errors
    /// The news, when there is no room.
    pub fn push(&mut self, news: BlockNews) -> Result<(), BlockNews> {
        self.news
            .push(news)
            .map_err(|rtrb::PushError::Full(news)| news)
    }
}

impl BlockConsumer {
    /// The oldest news. Whoever takes a block gives it back.
    pub fn pop(&mut self) -> Option<BlockNews> {
        self.news.pop().ok()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.news.is_empty()
    }

    /// Gives a block's buffer back.
    pub fn give_back(&mut self, block: Block) {
        // Full only if a driver brought in more buffers than it may; then one is freed rather than lost.
        let _ = self.empty.push(block.into_buffer());
    }
}

#[cfg(test)]
mod tests {
    use drivers_frame::{
        BlockHead, ByteOrder, FrameSink, MonoNs, SampleKind, SampleLayout, WaveformId,
    };

    use super::*;
    use crate::queue::frame_queue_with_blocks;

    fn block(buffer: Box<[u8]>, sequence: u64) -> Block {
        let head = BlockHead {
            waveform: WaveformId(0),
            at: MonoNs::ZERO,
            sequence,
            gap: false,
            layout: SampleLayout::payload(SampleKind::I16, ByteOrder::LittleEndian),
            count: 4,
            rate_hz: 1.0,
        };
        Block::new(head, buffer, 0).unwrap()
    }

    #[test]
    fn a_buffer_goes_round_without_being_copied_and_an_empty_pool_says_so() {
        let (mut driver, mut consumer) = frame_queue_with_blocks(4, 2, 8);
        let lane = consumer.blocks().unwrap();
        let mut addresses = Vec::new();
        for round in 0..10 {
            let buffer = driver.take_empty().unwrap();
            addresses.push(buffer.as_ptr());
            driver
                .push_block(BlockNews::Block(block(buffer, round)))
                .unwrap();
            let Some(BlockNews::Block(got)) = lane.pop() else {
                panic!("it was pushed");
            };
            assert_eq!(got.raw().as_ptr(), addresses[addresses.len() - 1]);
            assert_eq!(got.head().sequence, round);
            lane.give_back(got);
        }
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), 2, "no buffer but those made at the start");
        let held = (driver.take_empty(), driver.take_empty());
        assert!(held.0.is_some() && held.1.is_some());
        assert!(driver.take_empty().is_none(), "H-25");
        assert!(lane.pop().is_none());
    }

    #[test]
    fn two_threads_pass_blocks_in_order() {
        let (mut driver, mut lane) = block_queue(3, 8);
        let sender = std::thread::spawn(move || {
            let mut sent = 0_u64;
            while sent < 20_000 {
                let Some(mut buffer) = driver.take_empty() else {
                    std::thread::yield_now();
                    continue;
                };
                buffer.copy_from_slice(&sent.to_le_bytes());
                driver.push(BlockNews::Block(block(buffer, sent))).unwrap();
                sent += 1;
            }
        });
        let mut expected = 0_u64;
        while expected < 20_000 {
            if let Some(BlockNews::Block(block)) = lane.pop() {
                assert_eq!(block.head().sequence, expected);
                assert_eq!(block.raw(), expected.to_le_bytes(), "H-26");
                lane.give_back(block);
                expected += 1;
            }
        }
        sender.join().unwrap();
    }
}

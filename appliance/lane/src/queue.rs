//! The queue from a driver into its lane: wait-free, one producer, one consumer, a frame as a whole or not at all.
//!
//! A full queue never blocks the driver: the frame is lost and counted, and the counter itself tells the lane, which
//! holds the device's channels bad until a fresh sample of each arrives (H-25). The ring is rtrb's (H-26: wait-free;
//! crossbeam's `ArrayQueue` waits while a peer is half-way).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use drivers_frame::{BlockNews, FrameSink, QueueFull, Sample, planted};
use rtrb::{Consumer, Producer, RingBuffer};

use crate::block_queue::{BlockConsumer, BlockProducer, block_queue};

/// The driver's end.
pub struct FrameProducer {
    ring: Producer<Sample>,
    lost: Arc<AtomicU64>,
    blocks: Option<BlockProducer>,
}

/// The lane's end.
pub struct FrameConsumer {
    ring: Consumer<Sample>,
    lost: Arc<AtomicU64>,
    lost_seen: u64,
    blocks: Option<BlockConsumer>,
}

/// A queue for `samples` samples.
pub fn frame_queue(samples: usize) -> (FrameProducer, FrameConsumer) {
    let (producer, consumer) = RingBuffer::new(samples);
    let lost = Arc::new(AtomicU64::new(0));
    (
        FrameProducer {
            ring: producer,
            lost: Arc::clone(&lost),
            blocks: None,
        },
        FrameConsumer {
            ring: consumer,
            lost,
            lost_seen: 0,
            blocks: None,
        },
    )
}

/// The same with a way for waveform blocks beside it: `buffers` of `bytes` bytes each ([`block_queue`]).
pub fn frame_queue_with_blocks(
    samples: usize,
    buffers: usize,
    bytes: usize,
) -> (FrameProducer, FrameConsumer) {
    let (mut producer, mut consumer) = frame_queue(samples);
    let (to_lane, in_lane) = block_queue(buffers, bytes);
    producer.blocks = Some(to_lane);
    consumer.blocks = Some(in_lane);
    (producer, consumer)
}

impl FrameSink for FrameProducer {
    fn take_empty(&mut self) -> Option<Box<[u8]>> {
        self.blocks.as_mut()?.take_empty()
    }

    fn push_block(&mut self, news: BlockNews) -> Result<(), BlockNews> {
        match &mut self.blocks {
            Some(blocks) => blocks.push(news),
            None => Err(news),
        }
    }

    fn push_frame(&mut self, samples: &[Sample]) -> Result<(), QueueFull> {
        match self.ring.push_entire_slice(samples) {
            Ok(()) => Ok(()),
            Err(_) => {
                // Release: whatever the lane reads after it saw this count was pushed after the loss or is older than it.
                if !planted!(OverflowNotTold) {
                    self.lost.fetch_add(1, Ordering::Release);
                }
                Err(QueueFull)
            }
        }
    }
}

impl FrameConsumer {
    /// The way of waveform blocks, if the device has any.
    pub fn blocks(&mut self) -> Option<&mut BlockConsumer> {
        self.blocks.as_mut()
    }

    /// Frames lost since the last call. Ask before draining: a sample pushed after the loss is then seen after it.
    pub fn newly_lost(&mut self) -> u64 {
        let lost = self.lost.load(Ordering::Acquire);
        let new = lost.saturating_sub(self.lost_seen);
        self.lost_seen = lost;
        new
    }

    /// Hands every queued sample to `take`, oldest first, and empties the queue. Returns how many there were.
    pub fn drain(&mut self, mut take: impl FnMut(&Sample)) -> usize {
        let waiting = self.ring.slots();
        let Ok(chunk) = self.ring.read_chunk(waiting) else {
            return 0;
        };
        let (first, second) = chunk.as_slices();
        first.iter().chain(second).for_each(&mut take);
        chunk.commit_all();
        waiting
    }

    /// Samples waiting.
    pub fn len(&self) -> usize {
        self.ring.slots()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use drivers_frame::TagId;

    use super::*;

    fn frame(len: usize, first: u16) -> Vec<Sample> {
        (0..len)
            .map(|index| Sample {
                tag: TagId(first + index as u16),
                ..Sample::default()
            })
            .collect()
    }

    #[test]
    fn a_frame_that_does_not_fit_is_lost_as_a_whole_and_counted() {
        let (mut producer, mut consumer) = frame_queue(8);
        assert_eq!(producer.push_frame(&frame(6, 0)), Ok(()));
        assert_eq!(producer.push_frame(&frame(3, 10)), Err(QueueFull), "H-25");
        assert_eq!(consumer.newly_lost(), 1);
        assert_eq!(consumer.newly_lost(), 0);
        let mut seen = Vec::new();
        assert_eq!(consumer.drain(|sample| seen.push(sample.tag.0)), 6);
        assert_eq!(seen, [0, 1, 2, 3, 4, 5], "nothing of the lost frame");
        assert_eq!(producer.push_frame(&frame(8, 20)), Ok(()));
        assert_eq!(consumer.len(), 8);
    }

    #[test]
    fn two_threads_lose_nothing_and_keep_the_order() {
        let (mut producer, mut consumer) = frame_queue(64);
        let sender = std::thread::spawn(move || {
            let mut pushed = 0_u64;
            for round in 0..20_000_u16 {
                while producer.push_frame(&frame(3, round % 1_000)).is_err() {
                    std::thread::yield_now();
                }
                pushed += 3;
            }
            pushed
        });
        let mut seen = Vec::new();
        while seen.len() < 60_000 {
            consumer.drain(|sample| seen.push(sample.tag.0));
        }
        assert_eq!(sender.join().unwrap(), 60_000);
        for (round, frame) in seen.chunks(3).enumerate() {
            let first = (round % 1_000) as u16;
            assert_eq!(frame, [first, first + 1, first + 2], "H-26");
        }
    }

    /// What the two ends do, one whole call after the other, in every order that there is.
    ///
    /// A model checker of memory orders (loom, shuttle) cannot look inside: rtrb names the processor's own atomics, with no
    /// facade to put others in their place, and a model of ours would check the model. Ours is the counter beside the ring;
    /// each of its uses is one atomic operation, so whole calls in every order are all its interleavings. The
    /// orders within the ring are rtrb's to prove; the test above runs them on two threads.
    #[test]
    fn h25_h26_in_every_interleaving_each_frame_is_whole_in_order_and_taken_once_or_told_as_lost() {
        const PUSHES: u32 = 7;
        const ASKS: u32 = 7;
        let mut orders = 0_u32;
        let mut lost_in = 0_u32;
        // A bit set is the driver's turn.
        for order in 0..(1_u32 << (PUSHES + ASKS)) {
            if order.count_ones() != PUSHES {
                continue;
            }
            orders += 1;
            let (mut producer, mut consumer) = frame_queue(4);
            let (mut pushed, mut refused, mut told, mut asked) = (0_u16, 0_u64, 0_u64, 0_u32);
            let mut taken: Vec<u16> = Vec::new();
            for turn in 0..PUSHES + ASKS + 2 {
                // After all turns the lane asks and drains once more.
                if turn < PUSHES + ASKS && order & (1 << turn) != 0 {
                    refused += u64::from(producer.push_frame(&frame(2, pushed * 2)).is_err());
                    pushed += 1;
                } else if asked % 2 == 0 && turn < PUSHES + ASKS || turn == PUSHES + ASKS {
                    asked += 1;
                    told += consumer.newly_lost();
                    let newest = taken.last().map_or(0, |last| u64::from(last / 2) + 1);
                    let gaps = newest - taken.len() as u64 / 2;
                    assert!(
                        told >= gaps,
                        "H-25: a gap is told by the next question, {order:b}"
                    );
                } else {
                    asked += 1;
                    consumer.drain(|sample| taken.push(sample.tag.0));
                }
            }
            assert!(consumer.is_empty());
            assert_eq!(
                told, refused,
                "H-25: each loss is told, and once: {order:b}"
            );
            assert_eq!(
                taken.len() as u64 / 2 + refused,
                u64::from(PUSHES),
                "{order:b}"
            );
            for pair in taken.chunks(2) {
                assert_eq!(
                    pair,
                    [pair[0], pair[0] + 1],
                    "H-26: a frame is whole: {order:b}"
                );
                assert_eq!(pair[0] % 2, 0, "H-26: {order:b}");
            }
            assert!(taken.is_sorted(), "H-26: in order: {order:b}");
            lost_in += u32::from(refused > 0);
        }
        assert_eq!(orders, 3_432, "14 over 7");
        assert!(
            lost_in > 1_000 && lost_in < orders,
            "both happen: {lost_in}"
        );
    }
}

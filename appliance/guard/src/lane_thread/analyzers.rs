//! What analyzers need of a lane's turn: blocks in, buffers back, canaries, comparisons, figures.

use appliance_lane::analyzer::AnalyzerEngine;
use drivers_frame::{Block, BlockNews};

use super::{Runner, now};
use crate::analyzers::CanaryNews;
use crate::message::{AnalyzerSnapshot, Snapshot};
use crate::stages::Stage;

impl Runner {
    /// Takes at most one block of each device: each has a tick of its own, so that none takes another's place. `true` when
    /// there was news.
    pub(super) fn take_blocks(&mut self) -> bool {
        let mut any = false;
        self.more_blocks = false;
        for (_, queue) in &mut self.queues {
            let Some(blocks) = queue.blocks() else {
                continue;
            };
            match blocks.pop() {
                None => continue,
                Some(BlockNews::Bad {
                    waveform,
                    at,
                    cause,
                }) => self.lane.bad_block(waveform, at, cause),
                Some(BlockNews::Block(block)) => {
                    let age = now().since(block.head().at);
                    self.stages.of(Stage::AcquireToIngest).record(age);
                    if let Some(unseen) = self.lane.ingest_block(block) {
                        blocks.give_back(unseen);
                    }
                }
            }
            any = true;
            self.more_blocks |= !blocks.is_empty();
        }
        // What class background is done with.
        while let Some(block) = self.lane.analyzer_engine_mut().reclaim() {
            self.give_back(block);
        }
        any
    }

    /// After a tick: the blocks that nobody needs any more.
    pub(super) fn give_blocks_back(&mut self) {
        while let Some(block) = self.lane.take_block() {
            self.give_back(block);
        }
    }

    fn give_back(&mut self, block: Block) {
        let home = self.homes.get(usize::from(block.head().waveform.0));
        let queue = home.and_then(|home| self.queues.get_mut(*home));
        match queue.and_then(|(_, queue)| queue.blocks()) {
            Some(blocks) => blocks.give_back(block),
            // Every waveform has a home since start; without one its buffer stays allocated, rather than being freed on a lane.
            None => {
                let _ = std::mem::ManuallyDrop::new(block);
            }
        }
    }

    /// `true` when a canary has news.
    pub(super) fn look_at_canaries(&mut self) -> bool {
        let mut any = false;
        for canary in &mut self.canaries {
            match canary.look() {
                None => continue,
                Some(CanaryNews::Passed(due)) => {
                    self.lane.canary_passed(canary.analyzer, due, now());
                }
                Some(CanaryNews::Missed) => self.lane.canary_missed(canary.analyzer, now()),
            }
            any = true;
        }
        any
    }

    /// `true` when a comparison with a clean instance is over.
    pub(super) fn look_at_replays(&mut self) -> bool {
        let mut any = false;
        for replay in &mut self.replays {
            if let Some((news, due)) = replay.look() {
                self.lane.replayed(replay.analyzer, news, due, now());
                any = true;
            }
        }
        any
    }

    pub(super) fn fill_analyzers(&mut self, snapshot: &mut Snapshot) {
        self.lane
            .analyzer_engine_mut()
            .swap_figures(&mut snapshot.figures);
        snapshot.analyzers.clear();
        for number in 0..u16::MAX {
            let Some(view) = self.lane.analyzer(number) else {
                break;
            };
            if snapshot.analyzers.len() < snapshot.analyzers.capacity() {
                let spares = self.lane.analyzer_engine().spares(usize::from(number));
                snapshot.analyzers.push(AnalyzerSnapshot { view, spares });
            }
        }
    }
}

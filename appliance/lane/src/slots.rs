//! The values that rules read, kept twice: in the rule module's memory and in a table for the native evaluator.
//!
//! Both evaluations read their own copy, so a flipped bit in one of them shows as a comparison fault (H-33, H-42).

use drivers_frame::Quality;
use rules_expr::ir::SlotValue;

use crate::lane::RuleEngine;

pub(crate) struct Slots {
    values: Vec<SlotValue>,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self {
            values: vec![
                SlotValue {
                    value: 0.0,
                    usable: false
                };
                count
            ],
        }
    }

    /// Writes both copies. Returns whether the slot changed; `false` too when it does not exist, which a checked plan
    /// rules out.
    #[inline]
    pub(crate) fn set(
        &mut self,
        engine: &mut impl RuleEngine,
        slot: usize,
        value: f64,
        usable: bool,
    ) -> bool {
        // What may not decide has no value: the same bits in both copies whatever the garbage was.
        let value = if usable { value } else { 0.0 };
        let Some(cell) = self.values.get_mut(slot) else {
            return false;
        };
        if cell.usable == usable && cell.value.to_bits() == value.to_bits() {
            return false;
        }
        *cell = SlotValue { value, usable };
        engine.set_slot(slot, value, usable);
        true
    }

    pub(crate) fn all(&self) -> &[SlotValue] {
        &self.values
    }
}

/// A quality as the number that `quality(tag)` compares.
pub(crate) fn quality_number(quality: Quality) -> f64 {
    match quality {
        Quality::Good => 0.0,
        Quality::Uncertain => 1.0,
        Quality::Bad => 2.0,
        Quality::Stale => 3.0,
    }
}

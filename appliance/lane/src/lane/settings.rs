//! What a lane was configured with, apart from its state, with a checksum each (H-33).

use drivers_frame::DurNs;
use rules_bundle::{LanePlan, Level, RulePlan};
use rules_expr::ir::Program;

use crate::checksum::Checksum;
use crate::rule::Timing;
use crate::tags;

/// What an evaluation needs of a rule.
pub(super) struct Setting {
    pub(super) programs: Vec<Program>,
    pub(super) raised: Vec<Program>,
    /// Index of its first program among the functions of the rule module.
    pub(super) function: usize,
    pub(super) level: Level,
    pub(super) voting: Option<u16>,
    /// The trip groups that it latches.
    pub(super) groups: Vec<u16>,
    pub(super) deadline: Option<DurNs>,
    pub(super) timing: Timing,
    pub(super) bypass_at_most: Option<DurNs>,
    /// Its value depends on the clock: it has an `age()`.
    pub(super) timed: bool,
    /// Every sample counts, also one that changes no value.
    pub(super) sampled: bool,
    checksum: u64,
}

impl Setting {
    fn new(plan: &LanePlan, rule: &RulePlan, function: usize) -> Self {
        let ages = plan.slot_of_age(0)..plan.slot_of_quality(0);
        let mut groups: Vec<u16> = rule
            .stops
            .iter()
            .filter_map(|output| plan.outputs.get(usize::from(*output)))
            .map(|output| output.group)
            .collect();
        groups.sort_unstable();
        groups.dedup();
        let mut setting = Self {
            programs: rule.programs.clone(),
            raised: rule.raised.clone(),
            function,
            level: rule.level,
            voting: rule.voting,
            groups,
            deadline: rule.deadline,
            timing: Timing {
                on_delay: rule.on_delay,
                off_delay: rule.off_delay,
                debounce: rule.debounce,
            },
            bypass_at_most: rule.bypass_at_most,
            timed: rule
                .programs
                .iter()
                .flat_map(tags::slots_of)
                .any(|slot| ages.contains(&slot)),
            sampled: rule.debounce.is_some(),
            checksum: 0,
        };
        setting.checksum = setting.compute();
        setting
    }

    fn compute(&self) -> u64 {
        let number = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let span = |span: Option<DurNs>| span.map_or(u64::MAX, DurNs::as_ns);
        let mut sum = Checksum::new()
            .word(number(self.function))
            .word(u64::from(self.level == Level::Danger))
            .word(self.voting.map_or(u64::MAX, u64::from))
            .word(span(self.deadline))
            .word(span(self.bypass_at_most))
            .word(self.timing.on_delay.as_ns())
            .word(self.timing.off_delay.as_ns())
            .word(u64::from(self.timed))
            .word(u64::from(self.sampled));
        if let Some(debounce) = self.timing.debounce {
            sum = sum
                .word(u64::from(debounce.need))
                .word(u64::from(debounce.of))
                .word(debounce.within.as_ns());
        }
        for group in &self.groups {
            sum = sum.word(u64::from(*group));
        }
        for program in self.programs.iter().chain(&self.raised) {
            for op in program.ops() {
                let (code, operand) = op.words();
                sum = sum.word(code).word(operand);
            }
        }
        sum.get()
    }

    /// Whether it is what was loaded.
    pub(super) fn is_intact(&self) -> bool {
        self.compute() == self.checksum
    }
}

/// The settings of all rules.
pub(super) fn settings(plan: &LanePlan) -> Vec<Setting> {
    let mut function = 0_usize;
    plan.rules
        .iter()
        .map(|rule| {
            let setting = Setting::new(plan, rule, function);
            function = function
                .saturating_add(rule.programs.len())
                .saturating_add(rule.raised.len());
            setting
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rules_expr::ir::Op;

    use super::*;

    fn setting() -> Setting {
        let ops = vec![Op::Slot(0), Op::Const(7.1), Op::Greater];
        let mut setting = Setting {
            programs: vec![Program::new(ops).unwrap()],
            raised: vec![],
            function: 0,
            level: Level::Danger,
            voting: None,
            groups: vec![0, 1],
            deadline: Some(DurNs::from_ms(100)),
            timing: Timing {
                on_delay: DurNs::from_ms(20),
                off_delay: DurNs::ZERO,
                debounce: None,
            },
            bypass_at_most: None,
            timed: false,
            sampled: false,
            checksum: 0,
        };
        setting.checksum = setting.compute();
        setting
    }

    #[test]
    fn h33_a_changed_threshold_delay_or_group_is_seen() {
        assert!(setting().is_intact());
        let mut changed = setting();
        let ops = vec![Op::Slot(0), Op::Const(7.2), Op::Greater];
        changed.programs = vec![Program::new(ops).unwrap()];
        assert!(!changed.is_intact(), "a threshold");
        let mut changed = setting();
        changed.timing.on_delay = DurNs::from_ms(21);
        assert!(!changed.is_intact(), "a delay");
        let mut changed = setting();
        changed.groups = vec![1, 0];
        assert!(!changed.is_intact(), "a group");
        let mut changed = setting();
        changed.level = Level::Alert;
        assert!(!changed.is_intact(), "a level");
    }
}

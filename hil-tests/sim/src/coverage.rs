//! Which rare states a run has been in. A campaign that never saw one of them has proved nothing about it.

use std::collections::BTreeMap;

/// How often each named state was reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<&'static str, u64>);

impl Coverage {
    /// Counts `name`.
    pub fn count(&mut self, name: &'static str) {
        *self.0.entry(name).or_insert(0) += 1;
    }

    /// Adds what another run reached.
    pub fn merge(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            *self.0.entry(name).or_insert(0) += count;
        }
    }

    /// How often `name` was reached.
    pub fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Everything that was counted.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(name, count)| (*name, *count))
    }

    /// Those of `expected` that were never reached.
    pub fn missing(&self, expected: &[&'static str]) -> Vec<&'static str> {
        expected
            .iter()
            .copied()
            .filter(|name| self.of(name) == 0)
            .collect()
    }
}

/// Counts that a state was reached. Every name stands in [`SOMETIMES`](crate::SOMETIMES), and a campaign fails when one
/// of them never was.
#[macro_export]
macro_rules! sometimes {
    ($coverage:expr, $name:literal, $condition:expr) => {
        if $condition {
            debug_assert!(
                $crate::SOMETIMES.contains(&$name),
                "declare {:?} in SOMETIMES",
                $name
            );
            $coverage.count($name);
        }
    };
}

/// True now and then, by the seed: a place where the world is unfriendly. Counted under its name.
#[macro_export]
macro_rules! buggify {
    ($world:expr, $name:literal, $per_mille:expr) => {{
        let hit = $world.unfriendly && $world.rng.chance($per_mille);
        if hit {
            $world.coverage.count($name);
        }
        hit
    }};
}

//! Who is the oldest? Finding the tags that went stale without looking at all of them.
//!
//! Tags of one device with the same `stale_after` form a class, a ring ordered by arrival. A sample moves its tag to the end:
//! constant time. Only the head of a class can be the next to go stale, so a tick looks at one tag a class
//! (at most `STALE_CLASSES_MAX`, and one each analyzer) and not at 16,384.
//!
//! A class belongs to one device because only of one device what comes later is newer. What another device had waiting in its
//! queue, or what an analyzer derives, which is as old as what caused its frame, would stand behind what is newer at the end of a common
//! ring, and be believed meanwhile.

use drivers_frame::{DeviceId, DurNs, MonoNs, TagId};
use rt_config::limits;

/// Of drivers, and one each analyzer.
const CLASSES_MAX: usize = limits::STALE_CLASSES_MAX + limits::ANALYZERS_MAX;
const _: () = assert!(CLASSES_MAX <= 256, "a class has a byte");
/// No tag has this index: [`limits::TAGS_MAX`] is far below.
const NONE: u16 = u16::MAX;

#[derive(Clone, Copy)]
struct Node {
    /// Neighbours in the ring of its class; both [`NONE`] when it went stale and waits for a sample.
    previous: u16,
    next: u16,
    class: u8,
    at: MonoNs,
}

struct Class {
    stale_after: DurNs,
    device: DeviceId,
    /// The tag that waits longest; the one before it in the ring is the newest. [`NONE`] when all are stale.
    head: u16,
}

/// The freshness of all tags of a lane.
pub(crate) struct Freshness {
    nodes: Vec<Node>,
    classes: Vec<Class>,
}

impl Freshness {
    /// All tags count as received at `start`, so that one that never arrives goes stale after its own time.
    /// Of each tag its `stale_after` and its device. `None` when there are more classes than a tick may look at.
    pub(crate) fn new(
        tags: impl Iterator<Item = (DurNs, DeviceId)>,
        start: MonoNs,
    ) -> Option<Self> {
        let mut classes: Vec<Class> = Vec::new();
        let mut nodes = Vec::new();
        for (stale_after, device) in tags {
            let own = |class: &Class| class.stale_after == stale_after && class.device == device;
            let class = match classes.iter().position(own) {
                Some(class) => class,
                None => {
                    classes.push(Class {
                        stale_after,
                        device,
                        head: NONE,
                    });
                    classes.len().checked_sub(1)?
                }
            };
            nodes.push(Node {
                previous: NONE,
                next: NONE,
                class: u8::try_from(class).ok().filter(|_| class < CLASSES_MAX)?,
                at: start,
            });
        }
        let mut freshness = Self { nodes, classes };
        for tag in 0..u16::try_from(freshness.nodes.len()).ok()? {
            freshness.touch(TagId(tag), start);
        }
        Some(freshness)
    }

    /// A sample of `tag` arrived at `at`.
    #[inline]
    pub(crate) fn touch(&mut self, tag: TagId, at: MonoNs) {
        let Some(node) = self.nodes.get_mut(usize::from(tag.0)) else {
            return;
        };
        let Some(class) = self.classes.get_mut(usize::from(node.class)) else {
            return;
        };
        node.at = at;
        if class.head == tag.0 {
            // Tags that are read together come in the same order each time, so the next one touched is as a rule the one
            // that waits longest. The list is a ring: its head's turn is over when the head moves on.
            class.head = node.next;
            return;
        }
        self.unlink(tag.0);
        self.link_last(tag.0);
    }

    /// Takes one tag that is older than its class allows at `now`, or `None`. It is not reported again until it is
    /// touched. Returns the tag and when it went stale.
    pub(crate) fn take_stale(&mut self, now: MonoNs) -> Option<(TagId, MonoNs)> {
        let (tag, due) = self.classes.iter().find_map(|class| {
            let node = self.nodes.get(usize::from(class.head))?;
            let due = node.at.after(class.stale_after);
            (now > due).then_some((class.head, due))
        })?;
        self.unlink(tag);
        Some((TagId(tag), due))
    }

    /// When the next tag goes stale if nothing arrives.
    pub(crate) fn next_due(&self) -> MonoNs {
        self.classes
            .iter()
            .filter_map(|class| {
                Some(
                    self.nodes
                        .get(usize::from(class.head))?
                        .at
                        .after(class.stale_after),
                )
            })
            .min()
            .unwrap_or(MonoNs::NEVER)
    }

    /// Puts a tag that is in no ring behind the last of its class, which is before the head.
    fn link_last(&mut self, index: u16) {
        let Some(node) = self.nodes.get_mut(usize::from(index)) else {
            return;
        };
        let Some(class) = self.classes.get_mut(usize::from(node.class)) else {
            return;
        };
        let head = class.head;
        if head == NONE {
            class.head = index;
            (node.previous, node.next) = (index, index);
            return;
        }
        node.next = head;
        let Some(first) = self.nodes.get_mut(usize::from(head)) else {
            return;
        };
        let last = first.previous;
        first.previous = index;
        if let Some(last) = self.nodes.get_mut(usize::from(last)) {
            last.next = index;
        }
        if let Some(node) = self.nodes.get_mut(usize::from(index)) {
            node.previous = last;
        }
    }

    /// Takes a tag out of its ring, if it is in one.
    fn unlink(&mut self, index: u16) {
        let Some(node) = self.nodes.get_mut(usize::from(index)) else {
            return;
        };
        let Some(class) = self.classes.get_mut(usize::from(node.class)) else {
            return;
        };
        let (previous, next) = (node.previous, node.next);
        (node.previous, node.next) = (NONE, NONE);
        if next == index {
            class.head = NONE;
            return;
        }
        if class.head == index {
            class.head = next;
        }
        if let Some(before) = self.nodes.get_mut(usize::from(previous)) {
            before.next = next;
        }
        if let Some(behind) = self.nodes.get_mut(usize::from(next)) {
            behind.previous = previous;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> MonoNs {
        MonoNs::from_ns(ms * 1_000_000)
    }

    #[test]
    fn a_tag_that_never_arrives_goes_stale_after_its_own_time() {
        let mut freshness = Freshness::new(
            [DurNs::from_ms(10), DurNs::from_ms(30)]
                .into_iter()
                .map(|span| (span, DeviceId(0))),
            ms(100),
        )
        .unwrap();
        assert_eq!(freshness.next_due(), ms(110));
        assert_eq!(
            freshness.take_stale(ms(110)),
            None,
            "exactly stale_after is still fresh"
        );
        assert_eq!(freshness.take_stale(ms(111)), Some((TagId(0), ms(110))));
        assert_eq!(freshness.take_stale(ms(111)), None, "reported once");
        freshness.touch(TagId(0), ms(120));
        assert_eq!(freshness.take_stale(ms(131)), Some((TagId(0), ms(130))));
        assert_eq!(freshness.take_stale(ms(131)), Some((TagId(1), ms(130))));
    }

    #[test]
    fn more_classes_than_a_tick_may_look_at_are_refused() {
        let spans = |count| (1..=count).map(|ms| (DurNs::from_ms(ms), DeviceId(0)));
        assert!(Freshness::new(spans(CLASSES_MAX as u64), ms(0)).is_some());
        assert!(Freshness::new(spans(CLASSES_MAX as u64 + 1), ms(0)).is_none());
    }

    #[test]
    fn i4_what_waited_in_a_devices_queue_goes_stale_in_its_own_time_whatever_came_before_it() {
        let tags = [0, 1].map(|device| (DurNs::from_ms(10), DeviceId(device)));
        let mut freshness = Freshness::new(tags.into_iter(), ms(0)).unwrap();
        freshness.touch(TagId(0), ms(20));
        freshness.touch(TagId(1), ms(12));
        assert_eq!(freshness.next_due(), ms(22), "I4");
        assert_eq!(freshness.take_stale(ms(23)), Some((TagId(1), ms(22))), "I4");
        assert_eq!(freshness.take_stale(ms(23)), None);
    }

    proptest! {
        /// The list agrees with looking at every tag.
        #[test]
        fn the_list_finds_what_looking_at_all_tags_finds(
            steps in prop::collection::vec((0..12_u16, 0..8_u64), 1..300)
        ) {
            let spans = [5_u64, 9, 14];
            let span = |tag: u16| spans[usize::from(tag) % spans.len()];
            let mut freshness = Freshness::new((0..12).map(|tag| (DurNs::from_ms(span(tag)), DeviceId(tag % 2))), ms(0)).unwrap();
            let mut model = [Some(0_u64); 12];
            let mut now = 0;
            for (tag, wait) in steps {
                now += wait;
                let mut found = Vec::new();
                while let Some((tag, due)) = freshness.take_stale(ms(now)) {
                    found.push((tag.0, due));
                }
                let mut expected = Vec::new();
                for tag in 0..12_u16 {
                    if let Some(at) = model[usize::from(tag)] && now > at + span(tag) {
                        expected.push((tag, ms(at + span(tag))));
                        model[usize::from(tag)] = None;
                    }
                }
                found.sort_unstable();
                prop_assert_eq!(found, expected);
                freshness.touch(TagId(tag), ms(now));
                model[usize::from(tag)] = Some(now);
            }
        }
    }
}

//! Enveloped messages: the sources that write them, and what happens to them on the way.

use std::collections::{BTreeMap, VecDeque};

use drivers_mqtt::CheckConfig;
use drivers_mqtt::envelope::Sealer;

use super::{Ev, World};
use crate::broker;
use crate::fault::Fault;
use crate::oracle::{Letter, Written};
use crate::reading;
use crate::scenario::{Envelope, KEY, MS, SOURCE, Scenario};

/// The source's clock when the run begins, in nanoseconds since 1970.
const EPOCH: u64 = 1_700_000_000_000_000_000;
/// How wrong a source's clock is when it is wrong. More than any silence between two messages.
const WRONG_BY: i64 = 6_000 * MS as i64;
/// Messages that whoever records keeps.
const RECORDED: usize = 100;

/// A source of one topic.
struct Source {
    topic: String,
    sealer: Sealer,
    sequence: u32,
    run: u32,
    clock: i64,
    epoch: u32,
    recorded: VecDeque<(Vec<u8>, Letter)>,
    overtaken: Option<(Vec<u8>, Letter)>,
    /// The guard that runs has had a message that was in time.
    settled: bool,
}

/// What the guard has not taken yet of one connection.
#[derive(Default)]
struct Postbox {
    sent: u64,
    taken: u64,
    letters: VecDeque<(u64, Letter)>,
}

/// All of it.
pub(super) struct Mail {
    sources: Vec<Option<Source>>,
    boxes: BTreeMap<usize, Postbox>,
    /// Held up: the tag, and what is delivered then. None after it was, or was given up.
    late: Vec<Option<(usize, Vec<u8>, Letter)>>,
}

fn sealer(topic: &str, source: &str, check: &CheckConfig, sequence: u32) -> Sealer {
    Sealer::new(topic, source, check)
        .expect("names that can stand in a header")
        .from_sequence(sequence)
}

impl Mail {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let source = |(index, tag): (usize, &crate::scenario::Tag)| {
            let envelope = tag.envelope?;
            let topic = format!("plant/{index}");
            Some(Source {
                sealer: sealer(
                    &topic,
                    SOURCE,
                    &broker::check(envelope.keyed),
                    envelope.first,
                ),
                topic,
                sequence: envelope.first,
                run: 0,
                clock: 0,
                epoch: 0,
                recorded: VecDeque::new(),
                overtaken: None,
                settled: false,
            })
        };
        Self {
            sources: scenario.tags.iter().enumerate().map(source).collect(),
            boxes: BTreeMap::new(),
            late: Vec::new(),
        }
    }

    /// The guard began anew: nothing that was on its way reaches it.
    pub(super) fn guard_started(&mut self) {
        self.late.fill(None);
        for source in self.sources.iter_mut().flatten() {
            source.settled = false;
            source.overtaken = None;
        }
    }

    /// Every source that is well begins anew.
    pub(super) fn begin_anew(&mut self, scenario: &Scenario) {
        for (source, tag) in self.sources.iter_mut().zip(&scenario.tags) {
            let (Some(source), Some(envelope)) = (source, tag.envelope) else {
                continue;
            };
            if source.clock == 0 {
                source.sealer = sealer(&source.topic, SOURCE, &broker::check(envelope.keyed), 0);
                source.sequence = 0;
                source.run += 1;
                source.epoch += 1;
                source.settled = false;
            }
        }
    }
}

impl World {
    /// The broker sends bytes over a connection; with a letter where it is one.
    pub(super) fn mail(&mut self, conn: usize, wait: u64, bytes: Vec<u8>, letter: Option<Letter>) {
        let own = self.mail.boxes.entry(conn).or_default();
        own.sent += bytes.len() as u64;
        if let Some(letter) = letter {
            own.letters.push_back((own.sent, letter));
        }
        self.net.borrow_mut().to_guard(conn, wait, bytes, false);
    }

    /// The guard took so many bytes of a broker's.
    pub(super) fn mail_taken(&mut self, conn: usize, count: usize) {
        let Some(own) = self.mail.boxes.get_mut(&conn) else {
            return;
        };
        own.taken += count as u64;
        while let Some((end, letter)) = own.letters.front().copied() {
            if end > own.taken {
                break;
            }
            own.letters.pop_front();
            if letter.in_time
                && let Some(source) = &mut self.mail.sources[letter.tag]
            {
                source.settled = true;
            }
            self.oracle
                .received(&self.scenario, letter, self.now, &mut self.coverage);
        }
    }

    /// To everybody who subscribed.
    pub(super) fn send_out(
        &mut self,
        host: usize,
        tag: usize,
        (retain, dup): (bool, bool),
        message: &[u8],
        letter: Option<Letter>,
    ) {
        if self.net.borrow().is_partitioned(host) {
            return;
        }
        let qos = u8::from(dup || tag.is_multiple_of(2));
        let bytes = broker::message(&format!("plant/{tag}"), qos, retain, dup, message);
        let up = self.net.borrow().up(host);
        self.hosts[host].subscribed.retain(|conn| up.contains(conn));
        for conn in self.hosts[host].subscribed.clone() {
            self.mail(conn, 0, bytes.clone(), letter);
        }
    }

    /// What was held up goes on.
    pub(super) fn deliver_late(&mut self, host: usize, index: usize) {
        if let Some((tag, bytes, letter)) = self.mail.late[index].take() {
            self.send_out(host, tag, (false, false), &bytes, Some(letter));
        }
    }

    /// A source publishes in an envelope.
    pub(super) fn publish_sealed(
        &mut self,
        host: usize,
        tag: usize,
        envelope: Envelope,
        (level, stuck): (f64, bool),
    ) {
        let fault = self.hosts[host].fault(self.now);
        let Some(mut source) = self.mail.sources[tag].take() else {
            return;
        };
        self.publish_of(&mut source, (host, tag), &envelope, fault, (level, stuck));
        self.mail.sources[tag] = Some(source);
    }

    fn publish_of(
        &mut self,
        source: &mut Source,
        (host, tag): (usize, usize),
        envelope: &Envelope,
        fault: Option<Fault>,
        (level, stuck): (f64, bool),
    ) {
        let kept = matches!(fault, Some(Fault::Retained | Fault::Redelivered));
        if kept {
            let retain = fault == Some(Fault::Retained);
            if let Some((bytes, _)) = source.recorded.front().cloned() {
                self.send_out(host, tag, (retain, !retain), &bytes, None);
            }
            return;
        }
        // A clock that was ahead and is set back is refused for as long where delay is measured: docs/mqtt-envelope.md.
        let clock = match fault {
            Some(Fault::SourceClock) if envelope.max_delay.is_none() && tag.is_multiple_of(2) => {
                WRONG_BY
            }
            Some(Fault::SourceClock) => -WRONG_BY,
            _ => 0,
        };
        if clock != source.clock {
            source.clock = clock;
            source.epoch += 1;
            source.settled = false;
        }
        let mut reading = None;
        let payload = match fault {
            Some(Fault::Malformed) => "12.5.1".to_owned(),
            Some(Fault::OutOfRange) => "150".to_owned(),
            Some(Fault::NotFinite) => "NaN".to_owned(),
            _ => {
                let number = self.oracle.readings[tag].issue(self.now, stuck);
                self.oracle.written(tag, number, source.epoch);
                reading = Some(number);
                format!("{}", reading::encode(tag, number, level))
            }
        };
        let time = (EPOCH + self.now).saturating_add_signed(clock);
        let genuine = source.sealer.seal(time, payload.as_bytes());
        let letter = Letter {
            tag,
            number: reading,
            written: Written::Here {
                run: source.run,
                sequence: source.sequence,
                clock_right: clock == 0,
            },
            in_time: clock == 0,
        };
        let wrong = Letter {
            tag,
            number: None,
            written: Written::Elsewhere,
            in_time: false,
        };
        source.sequence = source.sequence.wrapping_add(1);
        let hit = fault.filter(|_| self.device_rng.chance(400));
        let mut post = vec![(genuine.clone(), letter)];
        match hit {
            Some(Fault::Corrupted) => post = vec![(self.damaged(&genuine), wrong)],
            Some(Fault::Lost) => post.clear(),
            Some(Fault::Repeatedly) => post.push((genuine.clone(), letter)),
            Some(Fault::Recorded) if !source.recorded.is_empty() => {
                post.push(
                    self.device_rng
                        .pick(source.recorded.make_contiguous())
                        .clone(),
                );
            }
            Some(Fault::Overtaken) if source.overtaken.is_none() => {
                source.overtaken = post.pop();
            }
            Some(Fault::HeldUp) => {
                if let Some(most) = envelope.max_delay.filter(|_| source.settled) {
                    post.clear();
                    let late = Letter {
                        in_time: false,
                        ..letter
                    };
                    let wait = most + self.device_rng.between(60, 400) * MS;
                    self.mail.late.push(Some((tag, genuine.clone(), late)));
                    self.at(wait, Ev::Late(host, self.mail.late.len() - 1));
                }
            }
            Some(Fault::Inserted) => {
                post.push((
                    forged(source, &source.topic, "press-8", envelope.keyed, KEY, time),
                    wrong,
                ));
            }
            Some(Fault::Masquerade) if envelope.keyed => {
                let key = b"not the key, and long enough";
                post.push((
                    forged(source, &source.topic, SOURCE, true, key, time),
                    wrong,
                ));
            }
            Some(Fault::Misaddressed) => {
                // As one source that counts over all its topics would write it, so that nothing else shows it.
                let topics = self.mail.sources.iter().zip(&self.scenario.tags);
                let mut others = topics.filter_map(|(other, known)| {
                    Some((other.as_ref()?.topic.clone(), known.envelope?.keyed))
                });
                if let Some((topic, keyed)) = others.next() {
                    post.push((forged(source, &topic, SOURCE, keyed, KEY, time), wrong));
                }
            }
            _ => {}
        }
        let whole = post.first().is_some_and(|(_, first)| *first == letter);
        if whole && let Some(before) = source.overtaken.take() {
            post.push(before);
        }
        for (bytes, letter) in post {
            self.send_out(host, tag, (false, false), &bytes, Some(letter));
        }
        if reading.is_some() && clock == 0 {
            source.recorded.push_back((
                genuine,
                Letter {
                    in_time: false,
                    ..letter
                },
            ));
            if source.recorded.len() > RECORDED {
                source.recorded.pop_front();
            }
        }
    }

    fn damaged(&mut self, message: &[u8]) -> Vec<u8> {
        let mut bytes = message.to_vec();
        let place = self.device_rng.below(bytes.len());
        match self.device_rng.below(3) {
            0 => bytes.truncate(place.max(1)),
            1 => bytes.push(b'1'),
            _ => bytes[place] ^= 1 << self.device_rng.below(7),
        }
        bytes
    }
}

/// A message that our source did not write for its topic, with the next sequence and a value that looks well.
fn forged(source: &Source, topic: &str, name: &str, keyed: bool, key: &[u8], time: u64) -> Vec<u8> {
    let check = if keyed {
        CheckConfig::HmacSha256 {
            key: drivers_mqtt::Secret::new(key),
        }
    } else {
        CheckConfig::Crc32c
    };
    // A number that no reading has: whoever believes it shows.
    let value = reading::encode(reading::FOREIGN, u64::from(source.sequence) % 1_000, 20.0);
    sealer(topic, name, &check, source.sequence).seal(time + 1, format!("{value}").as_bytes())
}

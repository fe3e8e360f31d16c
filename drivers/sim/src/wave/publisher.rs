//! A sensor that publishes blocks of samples with rumqttc, a client that is not ours.

use super::{SampleForm, Signal};
use crate::limits::{SENSOR_QUEUE, SENSOR_RECONNECT, WAVE_PACKET_BYTES_MAX};
use crate::worker::Worker;
use rumqttc::{AsyncClient, MqttOptions, QoS};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// What is wrong with a sensor of waveforms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaveFault {
    /// Nothing.
    #[default]
    None,
    /// Publishes nothing; its sequence goes on (H-17).
    Silent,
    /// Loses every second block; its sequence goes on (H-17).
    Gaps,
    /// Publishes each block twice (H-18).
    Repeats,
    /// Publishes the block before last in place of every second one (H-19).
    Disordered,
    /// The last so many bytes of each payload are missing (H-21).
    Torn(usize),
    /// So many samples too many (H-21).
    TooLong(usize),
    /// The sample at this place is not a number (H-21); of whole numbers: the largest.
    NotANumber(usize),
    /// Publishes every block as retained (H-18).
    Retained,
    /// Began its sequence anew.
    Restarted,
}

/// A sequence number in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceForm {
    /// First byte.
    pub offset: usize,
    /// 1, 2, 4 or 8.
    pub bytes: usize,
}

/// How blocks lie in payloads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PayloadForm {
    /// Samples of a block.
    pub count: usize,
    /// How they are stored.
    pub samples: SampleForm,
    /// Bytes before the first one; what is not the sequence is 0xA5.
    pub header: usize,
    /// Whether samples and sequence have their least significant byte first.
    pub little_endian: bool,
    /// The sequence number.
    pub sequence: Option<SequenceForm>,
}

impl PayloadForm {
    /// The payload of a block.
    #[must_use]
    pub fn payload(&self, sequence: u64, samples: &[f32]) -> Vec<u8> {
        let mut payload = vec![0xA5; self.header];
        if let Some(form) = self.sequence {
            let mut bytes = sequence.to_le_bytes();
            let used = bytes.get_mut(..form.bytes).unwrap_or_default();
            if !self.little_endian {
                used.reverse();
            }
            let end = form.offset.saturating_add(form.bytes);
            if let Some(place) = payload.get_mut(form.offset..end) {
                place.copy_from_slice(used);
            }
        }
        for sample in samples {
            match (self.samples, self.little_endian) {
                (SampleForm::F32, true) => payload.extend(sample.to_le_bytes()),
                (SampleForm::F32, false) => payload.extend(sample.to_be_bytes()),
                (SampleForm::I16(scale), little) => {
                    let whole = SampleForm::whole(scale, *sample);
                    payload.extend(if little {
                        whole.to_le_bytes()
                    } else {
                        whole.to_be_bytes()
                    });
                }
            }
        }
        payload
    }
}

/// Where and how often blocks are published.
#[derive(Clone, Debug)]
pub struct WaveTopic {
    /// Topic.
    pub topic: String,
    /// Whether it is published with QoS 1.
    pub at_least_once: bool,
    /// How blocks lie in payloads.
    pub form: PayloadForm,
    /// Time between two blocks: samples / rate for a signal in real time, less for one that is played faster.
    pub period: Duration,
    /// The first sequence number.
    pub first_sequence: u64,
}

/// A running sensor. Dropping it ends it.
#[derive(Debug)]
pub struct WavePublisher {
    shared: Arc<Shared>,
    _worker: Worker,
}

#[derive(Debug, Default)]
struct Shared {
    fault: Mutex<WaveFault>,
    blocks: AtomicU64,
}

impl WavePublisher {
    /// Starts a sensor that plays `signal`. While the broker is away it connects again and again, and loses blocks.
    ///
    /// # Errors
    /// What the system said: no thread, no descriptors.
    pub fn start(broker: SocketAddr, topic: WaveTopic, signal: Signal) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let worker = Worker::spawn("plant-wave", move || run(broker, topic, signal, own))?;
        Ok(Self {
            shared,
            _worker: worker,
        })
    }

    /// From the next block on.
    pub fn set_fault(&self, fault: WaveFault) {
        *self
            .shared
            .fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Blocks of the signal so far, published or not.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.shared.blocks.load(Ordering::Acquire)
    }
}

async fn run(broker: SocketAddr, topic: WaveTopic, mut signal: Signal, shared: Arc<Shared>) {
    let mut options = MqttOptions::new(
        format!("plant-wave-{}-{}", std::process::id(), topic.topic),
        broker.ip().to_string(),
        broker.port(),
    );
    options.set_keep_alive(Duration::from_secs(5));
    options.set_max_packet_size(WAVE_PACKET_BYTES_MAX, WAVE_PACKET_BYTES_MAX);
    let (client, mut events) = AsyncClient::new(options, SENSOR_QUEUE);
    let connection = tokio::spawn(async move {
        loop {
            if events.poll().await.is_err() {
                tokio::time::sleep(SENSOR_RECONNECT).await;
            }
        }
    });
    let quality = if topic.at_least_once {
        QoS::AtLeastOnce
    } else {
        QoS::AtMostOnce
    };
    let mut ticks = tokio::time::interval(topic.period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut player = Player {
        form: topic.form,
        sequence: topic.first_sequence,
        blocks: 0,
        fault: WaveFault::None,
    };
    while !connection.is_finished() {
        ticks.tick().await;
        let fault = *shared.fault.lock().unwrap_or_else(PoisonError::into_inner);
        for payload in player.next(fault, &mut signal) {
            // A full queue loses the block, which is what the sequence number is there to show.
            let retain = fault == WaveFault::Retained;
            let _ = client.try_publish(&topic.topic, quality, retain, payload);
        }
        shared.blocks.store(player.blocks, Ordering::Release);
    }
}

/// The blocks of a signal as payloads; pure.
struct Player {
    form: PayloadForm,
    sequence: u64,
    blocks: u64,
    fault: WaveFault,
}

impl Player {
    /// What is published in place of the next block.
    fn next(&mut self, fault: WaveFault, signal: &mut Signal) -> Vec<Vec<u8>> {
        if fault == WaveFault::Restarted && self.fault != fault {
            self.sequence = 0;
        }
        self.fault = fault;
        let (block, sequence) = (self.blocks, self.sequence);
        self.blocks = block.saturating_add(1);
        self.sequence = sequence.wrapping_add(1);
        let odd = block % 2 == 1;
        let form = self.form;
        let mut samples = signal.block(block, form.count);
        match fault {
            WaveFault::None | WaveFault::Retained | WaveFault::Restarted => {
                vec![form.payload(sequence, &samples)]
            }
            WaveFault::Silent => Vec::new(),
            WaveFault::Gaps if odd => Vec::new(),
            WaveFault::Gaps => vec![form.payload(sequence, &samples)],
            WaveFault::Repeats => vec![form.payload(sequence, &samples); 2],
            WaveFault::Disordered if odd && block > 2 => {
                let old = signal.block(block.saturating_sub(2), form.count);
                vec![form.payload(sequence.wrapping_sub(2), &old)]
            }
            WaveFault::Disordered => vec![form.payload(sequence, &samples)],
            WaveFault::Torn(bytes) => {
                let mut payload = form.payload(sequence, &samples);
                payload.truncate(payload.len().saturating_sub(bytes));
                vec![payload]
            }
            WaveFault::TooLong(more) => {
                samples.extend(std::iter::repeat_n(0.0, more));
                vec![form.payload(sequence, &samples)]
            }
            WaveFault::NotANumber(place) => {
                if let Some(sample) = samples.get_mut(place) {
                    *sample = match form.samples {
                        SampleForm::F32 => f32::NAN,
                        SampleForm::I16(_) => f32::INFINITY,
                    };
                }
                vec![form.payload(sequence, &samples)]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn player(first: u64) -> (Player, Signal) {
        let form = PayloadForm {
            count: 2,
            samples: SampleForm::F32,
            header: 3,
            little_endian: false,
            sequence: Some(SequenceForm {
                offset: 1,
                bytes: 2,
            }),
        };
        let player = Player {
            form,
            sequence: first,
            blocks: 0,
            fault: WaveFault::None,
        };
        (player, Signal::computed(|n| n as f32))
    }

    #[test]
    fn a_payload_is_header_sequence_and_samples() {
        let (mut player, mut signal) = player(0x0102);
        let expected = [
            &[0xA5, 1, 2][..],
            &0.0_f32.to_be_bytes(),
            &1.0_f32.to_be_bytes(),
        ]
        .concat();
        assert_eq!(player.next(WaveFault::None, &mut signal), [expected]);
        let form = PayloadForm {
            samples: SampleForm::I16(0.5),
            little_endian: true,
            ..player.form
        };
        let payload = form.payload(0x0102, &[-1.0, 1e9]);
        assert_eq!(payload, [0xA5, 2, 1, 0xFE, 0xFF, 0xFF, 0x7F]);
    }

    #[test]
    fn faults_do_what_they_say() {
        let numbers = |fault: WaveFault| {
            let (mut player, mut signal) = player(10);
            let mut seen = Vec::new();
            for _ in 0..6 {
                for payload in player.next(fault, &mut signal) {
                    seen.push((payload[2], payload.len()));
                }
            }
            seen
        };
        let lengths = |numbers: Vec<(u8, usize)>| numbers.iter().map(|n| n.1).max();
        let of = |fault| numbers(fault).iter().map(|n| n.0).collect::<Vec<_>>();
        assert_eq!(of(WaveFault::None), [10, 11, 12, 13, 14, 15]);
        assert!(of(WaveFault::Silent).is_empty());
        assert_eq!(of(WaveFault::Gaps), [10, 12, 14]);
        assert_eq!(of(WaveFault::Repeats).len(), 12);
        assert_eq!(of(WaveFault::Disordered), [10, 11, 12, 11, 14, 13]);
        assert_eq!(of(WaveFault::Restarted), [0, 1, 2, 3, 4, 5]);
        assert_eq!(lengths(numbers(WaveFault::Torn(1))), Some(10));
        assert_eq!(lengths(numbers(WaveFault::TooLong(1))), Some(15));
    }
}

//! A station whose holding registers show the newest block of a signal, and a register that counts the blocks.

use super::{SampleForm, Signal};
use crate::image::{Block, Image, StationMap, Table};
use crate::server::{Station, bind};
use crate::worker::Worker;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

/// What is wrong with a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WindowFault {
    /// Nothing.
    #[default]
    None,
    /// Shows the same block for ever, and the same number (H-2).
    Frozen,
    /// The number goes up by so many for each block (H-17).
    Skips(u16),
    /// Takes the next block a hundred times as often: whoever reads a window of several pieces sees it torn.
    Hurried,
    /// Began to count anew.
    Restarted,
}

/// A running station. Dropping it ends it.
#[derive(Debug)]
pub struct WindowStation {
    address: SocketAddr,
    station: Arc<Station>,
    fault: Arc<Mutex<WindowFault>>,
    _worker: Worker,
}

/// Register that counts the blocks.
const SEQUENCE: u16 = 0;
/// First register of the window.
const WINDOW: u16 = 1;

impl WindowStation {
    /// Register that counts the blocks.
    pub const SEQUENCE: u16 = SEQUENCE;
    /// First register of the window; most significant word and byte first.
    pub const WINDOW: u16 = WINDOW;

    /// Starts a station of unit 1 on a free port of 127.0.0.1 that shows `signal` in blocks of `count` samples.
    ///
    /// # Errors
    /// What the system said; [`io::ErrorKind::InvalidInput`] for a window that does not fit a station.
    pub fn start(
        count: u16,
        form: SampleForm,
        period: Duration,
        signal: Signal,
    ) -> io::Result<Self> {
        let registers = match form {
            SampleForm::F32 => count.checked_mul(2),
            SampleForm::I16(_) => Some(count),
        };
        let held = registers
            .and_then(|registers| registers.checked_add(WINDOW))
            .ok_or(io::ErrorKind::InvalidInput)?;
        let map = StationMap {
            unit: 1,
            holding_registers: Block {
                first: 0,
                count: held,
            },
            ..StationMap::default()
        };
        let (listener, address) = bind(0)?;
        let station = Station::new(Image::new(map, None), Instant::now());
        let fault = Arc::new(Mutex::new(WindowFault::None));
        let (served, faulty) = (Arc::clone(&station), Arc::clone(&fault));
        let worker = Worker::spawn("plant-window", move || async move {
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                tokio::spawn(Arc::clone(&served).serve(listener));
            }
            play(&served, (count, form), period, signal, &faulty).await;
        })?;
        Ok(Self {
            address,
            station,
            fault,
            _worker: worker,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From the next block on.
    pub fn set_fault(&self, fault: WindowFault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Acts on the station's memory: refusals, silence.
    pub fn with_image<T>(&self, act: impl FnOnce(&mut Image) -> T) -> T {
        act(&mut self.station.image())
    }

    /// Closes every connection (H-15). Returns how many there were.
    pub fn drop_connections(&self) -> usize {
        self.station.drop_connections()
    }
}

async fn play(
    station: &Station,
    (count, form): (u16, SampleForm),
    period: Duration,
    mut signal: Signal,
    fault: &Mutex<WindowFault>,
) {
    let look = || *fault.lock().unwrap_or_else(PoisonError::into_inner);
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut sequence, mut block, mut before) = (0_u16, 0_u64, WindowFault::None);
    loop {
        let fault = look();
        if fault == WindowFault::Hurried {
            tokio::time::sleep(period / 100).await;
        } else {
            ticks.tick().await;
        }
        sequence = match fault {
            WindowFault::Frozen => continue,
            WindowFault::Skips(step) => sequence.wrapping_add(step),
            WindowFault::Restarted if before != fault => 0,
            _ => sequence.wrapping_add(1),
        };
        before = fault;
        let samples = signal.block(block, usize::from(count));
        block = block.saturating_add(1);
        let mut image = station.image();
        let mut address = WINDOW;
        let mut put = |word: u16| {
            image.set(Table::HoldingRegister, address, word);
            address = address.wrapping_add(1);
        };
        for sample in samples {
            match form {
                SampleForm::F32 => {
                    let [a, b, c, d] = sample.to_be_bytes();
                    put(u16::from_be_bytes([a, b]));
                    put(u16::from_be_bytes([c, d]));
                }
                SampleForm::I16(scale) => put(SampleForm::whole(scale, sample).cast_unsigned()),
            }
        }
        // The memory is held: number and window change as one.
        image.set(Table::HoldingRegister, SEQUENCE, sequence);
    }
}

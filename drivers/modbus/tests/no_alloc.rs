//! I11: after construction a driver neither allocates nor frees, whatever happens to its connection.

mod common;

use std::io::Write;
use std::time::{Duration, Instant};

use common::{
    Behaviour, Checker, PATIENCE, SEQUENCE, answer, config, counting, device, right, window, words,
};
use drivers_frame::{DurNs, MonoNs};
use drivers_modbus::codec::server::{self, ReplyBuf};
use drivers_modbus::{Driver, Session, Step};
use rt_config::seal::{SealingAllocator, broken_seals, seal, unseal};

#[global_allocator]
static ALLOCATOR: SealingAllocator = SealingAllocator;

#[test]
fn a_sealed_driver_connects_polls_splits_fails_and_reconnects_without_the_allocator() {
    let silent: Behaviour = Box::new(|_, _| true);
    let garbage = answer(|_| vec![0xFF; 4_000]);
    let mut windows = counting(5);
    let refuses_wide_reads: Behaviour = Box::new(move |stream, request| {
        let mut buf: ReplyBuf = [0; 260];
        let read = common::read_of(request);
        if read.address >= SEQUENCE {
            return windows(stream, request);
        }
        let adu = if read.count > 2 {
            server::encode_exception(&mut buf, request.transaction, 1, 3, 2)
                .unwrap()
                .to_vec()
        } else {
            right(request)
        };
        stream.write_all(&adu).is_ok()
    });
    let address = device(vec![silent, garbage, refuses_wide_reads]);
    let mut config = config(address, words(0..16));
    config.timeout = DurNs::from_ms(500);
    config.windows = vec![window(300)];
    let bytes = config.block_buffer_bytes().unwrap();
    let mut driver = Driver::new(Session::new(config, 3).unwrap());
    let mut checker = Checker {
        empty: vec![vec![0; bytes].into_boxed_slice(); 2],
        ..Checker::default()
    };
    let origin = Instant::now();
    let clock = || {
        let ns = origin.elapsed().as_nanos();
        MonoNs::from_ns(u64::try_from(ns).unwrap_or(u64::MAX))
    };
    let before = broken_seals();
    seal();
    while (checker.good < 2_000 || checker.blocks < 20) && origin.elapsed() < PATIENCE {
        if let Step::Idle { .. } = driver.step(&clock, &mut checker) {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    unseal();
    assert_eq!(broken_seals(), before);
    let counters = driver.counters();
    assert!(
        checker.good >= 2_000 && checker.blocks >= 20,
        "{counters:?}"
    );
    assert!(
        counters.timeouts >= 1 && counters.anomalies >= 1,
        "{counters:?}"
    );
    assert!(
        counters.splits >= 7 && counters.connects >= 3,
        "{counters:?}"
    );
}

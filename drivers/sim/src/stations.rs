//! Stations without a machine behind them, each on a loopback port of its own: what a test or a proof test makes of them.
//!
//! Which thread: `stations` serves all of them. May it block: no.

use crate::image::{Image, StationMap};
use crate::server::{Station, bind};
use crate::worker::Worker;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Running stations. Dropping them closes all their sockets and joins their thread.
#[derive(Debug)]
pub struct Stations {
    _worker: Worker,
    epoch: Instant,
    stations: Vec<(Arc<Station>, SocketAddr)>,
}

impl Stations {
    /// Starts one station for each map, each on a free port of 127.0.0.1. When this returns, all of them listen.
    ///
    /// # Errors
    /// What the system said: no port, no thread, no descriptors.
    pub fn start(maps: impl IntoIterator<Item = StationMap>) -> io::Result<Self> {
        let epoch = Instant::now();
        let mut stations = Vec::new();
        let mut listeners = Vec::new();
        for map in maps {
            let (listener, address) = bind(0)?;
            let station = Station::new(Image::new(map, None), epoch);
            listeners.push((Arc::clone(&station), listener));
            stations.push((station, address));
        }
        let worker = Worker::spawn("stations", move || async move {
            for (station, listener) in listeners {
                if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                    tokio::spawn(station.serve(listener));
                }
            }
            std::future::pending::<()>().await;
        })?;
        Ok(Self {
            _worker: worker,
            epoch,
            stations,
        })
    }

    /// Time since the start: the one that writes are recorded with, of every station.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Where station `index` listens, in the order of the maps.
    #[must_use]
    pub fn address(&self, index: usize) -> Option<SocketAddr> {
        Some(self.stations.get(index)?.1)
    }

    /// Acts on a station's memory at its present time; `None`: no such station.
    pub fn with_image<T>(
        &self,
        index: usize,
        act: impl FnOnce(&mut Image, Duration) -> T,
    ) -> Option<T> {
        let (station, _) = self.stations.get(index)?;
        let now = station.now();
        let mut image = station.image();
        image.expire(now);
        Some(act(&mut image, now))
    }

    /// Closes every connection to a station (H-15). Returns how many there were.
    pub fn drop_connections(&self, index: usize) -> usize {
        self.stations
            .get(index)
            .map_or(0, |(station, _)| station.drop_connections())
    }

    /// Switches a station off and on: outputs and watchdog as at power-up, connections closed.
    pub fn power_cycle(&self, index: usize) {
        self.with_image(index, |image, now| image.power_cycle(now));
        self.drop_connections(index);
    }
}

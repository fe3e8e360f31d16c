//! A peer as this is commonly built: tokio, tokio-modbus, a poll task, a channel, a rule task, a second connection.
//!
//! One thread, because it has one core; `TCP_NODELAY` on both connections; polled without a pause.

use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_modbus::client::{Context, tcp};
use tokio_modbus::prelude::{Reader, Writer};

use super::explained;
use crate::plant::{LIMIT, RUN_COIL, VALUE_REGISTER};

/// Runs until the device is gone.
pub(crate) fn run(device: SocketAddr) -> Result<(), String> {
    let runtime = explained(
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build(),
    )?;
    runtime.block_on(async {
        let (values, inbox) = mpsc::channel(64);
        let poll = tokio::spawn(poll(connect(device).await?, values));
        let rule = tokio::spawn(rule(connect(device).await?, inbox));
        tokio::select! {
            ended = poll => explained(ended)?,
            ended = rule => explained(ended)?,
        }
    })
}

async fn connect(device: SocketAddr) -> Result<Context, String> {
    let stream = explained(TcpStream::connect(device).await)?;
    explained(stream.set_nodelay(true))?;
    Ok(tcp::attach(stream))
}

async fn poll(mut context: Context, values: mpsc::Sender<u16>) -> Result<(), String> {
    loop {
        let reply = context.read_holding_registers(VALUE_REGISTER, 1).await;
        let registers = explained(explained(reply)?)?;
        let value = registers.first().ok_or("an empty reply")?;
        explained(values.send(*value).await)?;
    }
}

async fn rule(mut context: Context, mut inbox: mpsc::Receiver<u16>) -> Result<(), String> {
    let mut runs = false;
    while let Some(value) = inbox.recv().await {
        let over = value > LIMIT;
        if over == runs {
            let reply = context.write_single_coil(RUN_COIL, !over).await;
            explained(explained(reply)?)?;
            runs = !over;
        }
    }
    Ok(())
}

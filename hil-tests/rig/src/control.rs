//! The control thread: starts, resets and ends systems while the device's thread goes on answering them.
//!
//! What: one order, one answer. Thread: its own, on the device's core; it sleeps while a trial is measured. Blocks: as
//! long as a system does; the device's thread waits for answers without blocking.

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use crate::system::{Site, SystemError, SystemUnderTest};

/// What the control thread is to do with the system of this index.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    Start(usize, Site),
    Rearm(usize),
    Stop(usize),
}

/// The device's end.
pub(crate) struct Control {
    orders: SyncSender<Order>,
    answers: Receiver<Result<(), SystemError>>,
}

/// The control thread's end.
pub(crate) struct Worker {
    orders: Receiver<Order>,
    answers: SyncSender<Result<(), SystemError>>,
}

/// Both ends. Bounded queues: neither end allocates when it hands something over.
pub(crate) fn pair() -> (Control, Worker) {
    let (orders, orders_in) = sync_channel(1);
    let (answers, answers_in) = sync_channel(1);
    let control = Control {
        orders,
        answers: answers_in,
    };
    let worker = Worker {
        orders: orders_in,
        answers,
    };
    (control, worker)
}

impl Control {
    /// Gives an order. Each must be answered before the next.
    pub(crate) fn order(&self, order: Order) -> Result<(), SystemError> {
        self.orders.try_send(order).map_err(|e| {
            SystemError::new(
                "give an order",
                format!("the control thread is gone or busy: {e}"),
            )
        })
    }

    /// The answer, once it is there.
    pub(crate) fn answer(&self) -> Option<Result<(), SystemError>> {
        match self.answers.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(SystemError::new(
                "carry out an order",
                "the control thread has ended",
            ))),
        }
    }
}

impl Worker {
    /// Carries out orders until the other end is dropped; then the systems are dropped too.
    pub(crate) fn work(self, mut systems: Vec<Option<Box<dyn SystemUnderTest>>>) {
        while let Ok(order) = self.orders.recv() {
            let (Order::Start(index, _) | Order::Rearm(index) | Order::Stop(index)) = order;
            let answer = match (systems.get_mut(index).and_then(Option::as_mut), order) {
                (None, _) => Err(SystemError::new("find the system", "it was left out")),
                (Some(system), Order::Start(_, site)) => system.start(site),
                (Some(system), Order::Rearm(_)) => system.rearm(),
                (Some(system), Order::Stop(_)) => {
                    system.stop();
                    Ok(())
                }
            };
            if self.answers.send(answer).is_err() {
                return;
            }
        }
    }
}

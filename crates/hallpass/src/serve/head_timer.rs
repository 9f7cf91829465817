//! A timer for the heads of a connection's requests.
//!
//! hyper asks for a new sleep whenever it begins to wait for a head, and drops it as soon as the head is there. Each of these would
//! enter and leave the runtime's timer, which all connections share. Here a connection has one alarm, which such a sleep only moves
//! when it has gone off too early.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

/// The timer of one connection.
#[derive(Debug, Clone)]
pub(super) struct HeadTimer {
    /// Goes off no later than any deadline that is waited for, because deadlines only grow.
    alarm: Arc<Mutex<Pin<Box<tokio::time::Sleep>>>>,
}

impl HeadTimer {
    /// For a connection that begins now, each of whose heads may take this long.
    pub(super) fn new(time: Duration) -> Self {
        Self { alarm: Arc::new(Mutex::new(Box::pin(tokio::time::sleep(time)))) }
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(HeadSleep { deadline: deadline.into(), timer: self.clone() })
    }
}

/// Ends when a head has taken too long.
#[derive(Debug)]
struct HeadSleep {
    deadline: tokio::time::Instant,
    timer: HeadTimer,
}

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut alarm = self.timer.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            ready!(alarm.as_mut().poll(context));
            if alarm.deadline() >= self.deadline {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(self.deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(40);

    #[tokio::test]
    async fn a_sleep_ends_at_its_own_deadline_however_many_were_dropped_before() {
        let timer = HeadTimer::new(TIME);
        for _ in 0..3 {
            // A head that comes in time.
            assert!(tokio::time::timeout(TIME / 4, timer.sleep(TIME)).await.is_err());
        }
        // The alarm is still that of the first sleep; later, one that has gone off already.
        for _ in 0..2 {
            let deadline = timer.now() + TIME;
            timer.sleep_until(deadline).await;
            assert!(timer.now() >= deadline);
        }
    }
}

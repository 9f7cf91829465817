//! The only door to time and randomness.
//!
//! Everything below takes `now` and random bytes as arguments; everything above asks a [`World`]. The emulator's world can be
//! moved in time, a test's world stands still until it is moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use hallpass_core::client_id::ClientId;
use hallpass_core::id::{
    AccountId, ApiTokenId, AppId, GroupId, MembershipId, PolicyId, RequestId, ServiceTokenId, TokenPolicyId,
    UserId, ZoneId,
};
use hallpass_core::secret::{ClientSecret, SecretKind};
use hallpass_core::time::Timestamp;

/// Clock and entropy. Cheap to clone; clones share one clock.
#[derive(Clone, Debug)]
pub struct World {
    clock: Arc<Clock>,
}

#[derive(Debug)]
struct Clock {
    kind: ClockKind,
    started: Instant,
    /// Microseconds: added to the machine's time, or the whole time of a standing clock.
    micros: AtomicI64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClockKind {
    /// The machine's time, as it is.
    Machine,
    /// The machine's time, moved by an offset.
    Movable,
    /// Stands still until it is moved.
    Standing,
}

/// The clock cannot be moved, or not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the clock can only be set to a time between 1970 and 2900")]
pub struct OutOfRange;

impl World {
    /// The machine's clock.
    pub fn machine() -> Self {
        Self::new(ClockKind::Machine, 0)
    }

    /// The machine's clock, which can be moved: the emulator's.
    pub fn movable() -> Self {
        Self::new(ClockKind::Movable, 0)
    }

    /// A clock that stands at `now` until it is moved: a test's.
    pub fn standing(now: Timestamp) -> Self {
        Self::new(ClockKind::Standing, now.as_micros())
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine")]
    fn new(kind: ClockKind, micros: i64) -> Self {
        Self { clock: Arc::new(Clock { kind, started: Instant::now(), micros: AtomicI64::new(micros) }) }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        let moved = self.clock.micros.load(Ordering::SeqCst);
        let micros = match self.clock.kind {
            ClockKind::Standing => moved,
            ClockKind::Machine | ClockKind::Movable => machine_micros().saturating_add(moved),
        };
        // The machine's clock cannot be set past what jiff prints, and a move is checked when it is made.
        Timestamp::from_micros(micros).unwrap_or(Timestamp::FOREVER)
    }

    /// Time since this world began, which nobody can set, not even the emulator's switches: for limits and measurements.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine")]
    pub fn monotonic(&self) -> Duration {
        Instant::now().duration_since(self.clock.started)
    }

    /// Moves the clock by so many microseconds. The machine's own cannot be moved.
    pub fn advance(&self, micros: i64) -> Result<Timestamp, OutOfRange> {
        self.set(self.now().checked_add_micros(micros).ok_or(OutOfRange)?)
    }

    /// Sets the clock, and says what it was set to.
    pub fn set(&self, time: Timestamp) -> Result<Timestamp, OutOfRange> {
        let moved = match self.clock.kind {
            ClockKind::Machine => return Err(OutOfRange),
            ClockKind::Movable => time.as_micros() - machine_micros(),
            ClockKind::Standing => time.as_micros(),
        };
        if !(0..=LATEST_MICROS).contains(&time.as_micros()) {
            return Err(OutOfRange);
        }
        self.clock.micros.store(moved, Ordering::SeqCst);
        Ok(time)
    }

    /// Undoes every move of a movable clock.
    pub fn reset(&self) -> Timestamp {
        if self.clock.kind == ClockKind::Movable {
            self.clock.micros.store(0, Ordering::SeqCst);
        }
        self.now()
    }

    /// Fills a buffer from the operating system's entropy.
    ///
    /// # Panics
    /// Where the operating system gives none: a process without entropy must not go on.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine")]
    #[expect(clippy::expect_used, reason = "said above")]
    pub fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system gives no entropy");
    }

    /// Random bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A new secret.
    pub fn mint(&self, kind: SecretKind) -> ClientSecret {
        ClientSecret::mint(kind, &mut |bytes| self.fill(bytes))
    }

    /// A new client ID.
    pub fn client_id(&self) -> ClientId {
        ClientId::random(self.random())
    }

    /// A new identifier of a service token.
    pub fn service_token_id(&self) -> ServiceTokenId {
        ServiceTokenId::random(self.random())
    }

    /// A new identifier of an application.
    pub fn app_id(&self) -> AppId {
        AppId::random(self.random())
    }

    /// A new identifier of a policy.
    pub fn policy_id(&self) -> PolicyId {
        PolicyId::random(self.random())
    }

    /// A new identifier of a group.
    pub fn group_id(&self) -> GroupId {
        GroupId::random(self.random())
    }
}

macro_rules! random_ids {
    ($($function:ident -> $id:ident),*) => {
        impl World {
            $(
                #[doc = concat!("A new [`", stringify!($id), "`].")]
                pub fn $function(&self) -> $id {
                    $id::from_bytes(self.random())
                }
            )*
        }
    };
}

random_ids!(
    account_id -> AccountId,
    zone_id -> ZoneId,
    user_id -> UserId,
    membership_id -> MembershipId,
    api_token_id -> ApiTokenId,
    token_policy_id -> TokenPolicyId,
    request_id -> RequestId
);

/// 2900-01-01T00:00:00Z: a hundred years later, what `forever` shows is still in the future.
const LATEST_MICROS: i64 = 29_348_006_400_000_000;

#[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine")]
fn machine_micros() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_machines_clock_cannot_be_moved() {
        assert_eq!(World::machine().advance(1), Err(OutOfRange));
    }

    #[test]
    fn a_standing_clock_moves_only_when_told() {
        let world = World::standing(at("2027-01-01T00:00:00Z"));
        assert_eq!(world.now(), at("2027-01-01T00:00:00Z"));
        assert_eq!(world.advance(60_000_000), Ok(at("2027-01-01T00:01:00Z")));
        assert_eq!(world.set(at("2026-01-01T00:00:00Z")), Ok(at("2026-01-01T00:00:00Z")));
        assert_eq!(world.clone().now(), world.now());
    }

    #[test]
    fn a_clock_stays_within_dates_that_can_be_reckoned_with() {
        let world = World::standing(at("2027-01-01T00:00:00Z"));
        assert_eq!(world.set(at("2900-01-01T00:00:01Z")), Err(OutOfRange));
        assert_eq!(world.set(at("1969-12-31T23:59:59Z")), Err(OutOfRange));
        assert_eq!(world.advance(i64::MAX), Err(OutOfRange));
        assert_eq!(world.advance(i64::MIN), Err(OutOfRange));
        assert_eq!(world.now(), at("2027-01-01T00:00:00Z"));
        assert!(world.set(at("2900-01-01T00:00:00Z")).is_ok());
    }

    #[test]
    fn a_movable_clock_comes_back_to_the_machines_time() {
        let world = World::movable();
        let before = world.now();
        assert!(world.advance(3_600_000_000_000).unwrap() > before);
        assert!(world.reset().as_micros() - before.as_micros() < 3_600_000_000);
    }
}

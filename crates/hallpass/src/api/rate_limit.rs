//! Rate limits (compatibility, D19): so many requests for each verified credential, so many failed attempts for each client address,
//! in fixed windows. Failures never lock anybody out: a client that has used up its failures is still let in with a good
//! credential, only its next failure is told to wait.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hallpass_core::id::{ApiTokenId, UserId};

use crate::live::Live;

/// How long a window lasts.
const WINDOW: Duration = Duration::from_mins(5);
/// How often ended windows are looked for, where there is no room for a new one.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// The most windows that are kept: whoever comes beyond them shares one.
const MOST_WINDOWS: usize = 16_384;

/// How much is allowed, and how much was used.
#[derive(Debug)]
pub struct RateLimits {
    limit: Live<Option<u32>>,
    credentials: Windows<Credential>,
    failures: Windows<IpAddr>,
}

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential {
    /// One API token.
    ApiToken(ApiTokenId),
    /// One user's key.
    Key(UserId),
}

/// How a window stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// How many requests a window allows.
    pub limit: u32,
    /// How many are left in this one.
    pub remaining: u32,
    /// Seconds until it ends, rounded up.
    pub reset_seconds: u64,
    /// Whether this request was within the limit.
    pub within: bool,
}

impl RateLimits {
    /// So many requests per five minutes, or no limit.
    pub fn new(limit: Option<u32>) -> Self {
        Self { limit: limit.into(), credentials: Windows::default(), failures: Windows::default() }
    }

    /// Goes on with another limit; what was used counts on.
    pub fn set_limit(&self, limit: Option<u32>) {
        self.limit.set(limit);
    }

    /// Counts a request of a verified credential.
    pub fn count(&self, credential: Credential, now: Duration) -> Option<Usage> {
        Some(self.credentials.count(credential, self.limit.get()?, now))
    }

    /// Counts a failed attempt from an address; all of an IPv6 /64 count as one.
    pub fn count_failure(&self, from: IpAddr, now: Duration) -> Option<Usage> {
        Some(self.failures.count(network(from), self.limit.get()?, now))
    }
}

/// The length of a window in seconds, for the header.
pub fn window_seconds() -> u64 {
    WINDOW.as_secs()
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// Windows by key, in bounded memory.
#[derive(Debug)]
struct Windows<K> {
    open: Mutex<Open<K>>,
}

#[derive(Debug)]
struct Open<K> {
    windows: HashMap<Option<K>, Window>,
    /// When those that had ended were last thrown out.
    swept: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    began: Duration,
    used: u32,
}

impl<K> Default for Windows<K> {
    fn default() -> Self {
        Self { open: Mutex::new(Open { windows: HashMap::new(), swept: Duration::ZERO }) }
    }
}

impl<K: Copy + Eq + Hash> Windows<K> {
    fn count(&self, key: K, limit: u32, now: Duration) -> Usage {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = |window: &Window| now.saturating_sub(window.began) >= WINDOW;
        let is_full =
            |open: &Open<K>| open.windows.len() >= MOST_WINDOWS && !open.windows.contains_key(&Some(key));
        if is_full(&open) && now.saturating_sub(open.swept) >= SWEEP_EVERY {
            open.windows.retain(|_, window| !ended(window));
            open.swept = now;
        }
        let own = (!is_full(&open)).then_some(key);
        let window = open.windows.entry(own).or_insert(Window { began: now, used: 0 });
        if ended(window) {
            *window = Window { began: now, used: 0 };
        }
        window.used = window.used.saturating_add(1);
        let left = (window.began + WINDOW).saturating_sub(now);
        Usage {
            limit,
            remaining: limit.saturating_sub(window.used),
            reset_seconds: left.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX),
            within: window.used <= limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn token(n: u8) -> Credential {
        Credential::ApiToken(ApiTokenId::from_bytes([n; 16]))
    }

    #[test]
    fn the_request_past_the_limit_waits_for_the_end_of_the_window() {
        let limits = RateLimits::new(Some(2));
        let within: Vec<_> = (0..3).map(|n| limits.count(token(1), at(10 + n)).unwrap()).collect();
        assert_eq!(within.iter().map(|usage| usage.within).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(within.iter().map(|usage| usage.remaining).collect::<Vec<_>>(), [1, 0, 0]);
        assert_eq!(within[2].reset_seconds, 298);
        assert!(limits.count(token(2), at(13)).unwrap().within);
        assert!(!limits.count(token(1), at(309)).unwrap().within);
        assert!(limits.count(token(1), at(310)).unwrap().within);
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        assert_eq!(RateLimits::new(None).count(token(1), at(0)), None);
    }

    #[test]
    fn another_limit_counts_for_windows_that_are_open() {
        let limits = RateLimits::new(Some(3));
        assert_eq!(limits.count(token(1), at(0)).unwrap().remaining, 2);
        limits.set_limit(Some(2));
        assert_eq!(limits.count(token(1), at(1)).unwrap().remaining, 0);
        assert!(!limits.count(token(1), at(2)).unwrap().within);
        limits.set_limit(None);
        assert_eq!(limits.count(token(1), at(3)), None);
    }

    #[test]
    fn addresses_are_counted_by_network() {
        let limits = RateLimits::new(Some(1));
        let fail = |address: &str| limits.count_failure(address.parse().unwrap(), at(0)).unwrap().within;
        assert!(fail("2001:db8::1") && !fail("2001:db8::2") && fail("2001:db8:0:1::1"));
        assert!(fail("10.0.0.1") && !fail("::ffff:10.0.0.1") && fail("10.0.0.2"));
    }

    #[test]
    fn memory_is_bounded_and_those_beyond_the_bound_share() {
        let limits = RateLimits::new(Some(3));
        for n in 0..u32::try_from(MOST_WINDOWS).unwrap() + 10 {
            limits.count_failure(IpAddr::V4(n.into()), at(0));
        }
        assert!(limits.failures.open.lock().unwrap().windows.len() <= MOST_WINDOWS + 1);
        assert!(!limits.count_failure("250.0.0.1".parse().unwrap(), at(1)).unwrap().within);
        assert!(limits.count_failure("250.0.0.1".parse().unwrap(), at(300)).unwrap().within);
    }
}

//! The check: from a request at the gate to a verdict, without waiting for anything.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hallpass_core::app::App;
use hallpass_core::client_id::ClientId;
use hallpass_core::credential::Presented;
use hallpass_core::decision::{Decision, Denied, Facts, KnownServiceToken, Permit, Reason, decide};
use hallpass_core::id::GroupId;
use hallpass_core::request::CanonicalRequest;
use hallpass_core::rule::Rules;
use hallpass_core::time::Timestamp;
use hyper::header::HeaderMap;
use hyper::http::request::Parts;

use super::assertion::Identity;
use super::directory::Directory;
use super::forward_auth::Dialect;
use super::snapshot::Snapshot;
use super::{Gate, Inner, Settings};
use crate::reference::Refusal;
use crate::store::access_log::Refused;
use crate::world::World;

/// How far the clock may be behind the newest time in the store, in microseconds: 5 seconds.
const MOST_BACK: i64 = 5_000_000;
/// How often untrusted peers are logged at most.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It passes, and the service is told as whom; after a bypass, as nobody.
    Passed(Identity),
    /// It does not pass; the status is the one without regard to the dialect.
    Refused(u16, Refusal),
}

/// What a request is judged by.
struct By<'s> {
    settings: &'s Settings,
    snapshot: &'s Snapshot,
    /// Why none of it can be believed, if that is so.
    doubt: Option<Reason>,
    now: Timestamp,
}

/// What a request asks for, and who asks.
#[derive(Debug)]
struct Asked<'a> {
    app: &'a Arc<App>,
    client: IpAddr,
}

/// When a request is checked. The clocks are asked once.
#[derive(Debug, Clone, Copy)]
struct Moment {
    /// Time that nobody can set.
    monotonic: Duration,
    /// The time.
    time: Timestamp,
}

/// When there was a warning last, in microseconds of monotonic time.
#[derive(Debug, Default)]
pub(super) struct Warned(AtomicU64);

/// What a verdict is found from.
struct View<'a> {
    directory: &'a Directory,
    snapshot: &'a Snapshot,
}

impl Moment {
    fn of(world: &World) -> Self {
        Self { monotonic: world.monotonic(), time: world.now() }
    }
}

impl Warned {
    /// Whether to warn again. It says so at most once in a while, however often it is asked.
    fn is_due(&self, now: Duration) -> bool {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let (now, last) = (micros(now).max(1), self.0.load(Ordering::Relaxed));
        let due = last == 0 || now.saturating_sub(last) >= micros(WARN_EVERY);
        due && self.0.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Facts for View<'_> {
    fn service_token(&self, client_id: &ClientId) -> Option<KnownServiceToken> {
        self.directory.find(client_id)
    }

    fn group(&self, id: GroupId) -> Option<&Rules> {
        self.snapshot.groups.get(&id)
    }
}

impl Gate {
    /// Checks a request that a peer asks about in a proxy's dialect.
    pub(super) fn check(&self, dialect: Dialect, peer: IpAddr, request: &Parts) -> Verdict {
        let inner = &*self.inner;
        let moment = Moment::of(&inner.world);
        let now = moment.time;
        let settings = inner.settings.load();
        // Before anything is loaded that it is about: what was loaded earlier could be older than what was heard.
        let doubt = inner.doubt(&settings, moment);
        // One for the whole check: to count its users anew for each step would keep the processors waiting for one another.
        let (snapshot, mut asked) = (inner.snapshot.load(), None);
        let by = By { settings: &settings, snapshot: &snapshot, doubt, now };
        let verdict = match inner.judge(by, dialect, peer, request, &mut asked) {
            Ok(Some((permit, identity))) => {
                inner.measures.count_allowed();
                if let Some(Asked { app, .. }) = asked {
                    let secret = (permit.secret(), permit.digest());
                    inner.accesses.accepted(app, permit.token_id(), secret, now);
                }
                Verdict::Passed(identity)
            }
            Ok(None) => {
                inner.measures.count_bypassed();
                Verdict::Passed(Identity::nobody())
            }
            Err(Denied { reason, token }) => {
                inner.measures.count_refused(reason);
                let app = asked.as_ref().map(|asked| &**asked.app);
                let refusal = Refusal { reason, token, app: app.map(|app| app.id), at: now };
                let status = reason.status(app);
                if let Some(asked) = asked {
                    inner.note_refusal(asked, &refusal);
                }
                Verdict::Refused(status, refusal)
            }
        };
        inner.measures.observe(inner.world.monotonic().saturating_sub(moment.monotonic));
        verdict
    }

    /// The header of a refusal that says, to whoever may open it, why.
    pub(super) fn reference(&self, refusal: &Refusal) -> String {
        self.inner.references.seal(refusal, &self.inner.world)
    }

    /// Why nobody who needs an assertion would pass now, whatever they present; `None` where the gate can do its work. Where the
    /// keys of some accounts can be used and those of others cannot, it can.
    pub(super) fn unready(&self) -> Option<Reason> {
        let inner = &*self.inner;
        let doubt = inner.doubt(&inner.settings.load(), Moment::of(&inner.world));
        doubt.or_else(|| inner.snapshot.load().can_sign_nothing().then_some(Reason::NoKey))
    }

    /// The key set for whoever checks assertions at this host.
    pub(super) fn published(&self, host: &[u8], peer: IpAddr) -> Option<String> {
        let host = CanonicalRequest::new(host, b"/", peer).ok()?;
        self.inner.snapshot.load().published(host.host()).map(str::to_owned)
    }
}

impl Inner {
    /// `None` is a bypass. What was asked for, as soon as it is known, is left behind for the access log and a refusal.
    fn judge<'s>(
        &self,
        By { settings, snapshot, doubt, now }: By<'s>,
        dialect: Dialect,
        peer: IpAddr,
        request: &Parts,
        left: &mut Option<Asked<'s>>,
    ) -> Result<Option<(Permit, Identity)>, Denied> {
        let refused = |reason| Denied { reason, token: None };
        if !settings.trust.speaks(peer) {
            self.warn_of(peer);
            return Err(refused(Reason::Untrusted));
        }
        let asked = dialect.read(request, peer, settings.trust.networks());
        let asked = asked.map_err(|unclear| {
            tracing::debug!(%unclear, ?dialect, "an ambiguous request is refused");
            refused(Reason::Ambiguous)
        })?;
        if let Some(reason) = doubt {
            return Err(refused(reason));
        }
        let found = snapshot.apps.find(&asked).ok_or_else(|| refused(Reason::NoApp))?;
        *left = Some(Asked { app: found, client: asked.client() });
        let presented = Presented::read(named(&request.headers), found.credential_header.as_deref());
        let directory = self.directory.load();
        let view = View { directory: &directory, snapshot };
        let permit = match decide(found, &presented, &asked, &view, &self.digest_key, now) {
            Decision::Allow(permit) => permit,
            Decision::Bypass => return Ok(None),
            Decision::Deny(denied) => return Err(denied),
        };
        let no_key = || Denied { reason: Reason::NoKey, token: Some(permit.token_id()) };
        let (issuer, keys) = snapshot.signer(found.account_id).ok_or_else(no_key)?;
        let identity = self.assertions.of(&permit, found, issuer, keys, now).map_err(|error| {
            tracing::error!(%error, "an assertion cannot be signed");
            no_key()
        })?;
        Ok(Some((permit, identity)))
    }

    /// Why nothing that the gate knows can be believed at a moment, if that is so.
    fn doubt(&self, settings: &Settings, moment: Moment) -> Option<Reason> {
        if !self.is_fresh(settings, moment.monotonic) {
            return Some(Reason::Stale);
        }
        let behind = moment.time.as_micros().saturating_add(MOST_BACK) < self.newest.load(Ordering::Acquire);
        behind.then_some(Reason::Clock)
    }

    /// Where no application is known, nobody's log has a place for it: it is counted, and its reference says why.
    fn note_refusal(&self, Asked { app, client }: Asked<'_>, refusal: &Refusal) {
        self.accesses.refused(Refused {
            id: self.world.request_id(),
            account_id: app.account_id,
            at: refusal.at,
            app: Some(Arc::clone(app)),
            token: refusal.token,
            reason: refusal.reason.as_str(),
            client,
        });
    }

    /// Says which setting would let a peer speak, from time to time.
    fn warn_of(&self, peer: IpAddr) {
        if self.warned.is_due(self.world.monotonic()) {
            tracing::warn!(%peer, "a peer that is not trusted asked the gate and was refused; if it is your proxy, add it to gate.trusted_peers");
        }
    }
}

/// The headers by their names, in lower case.
fn named(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_refused_every_second_is_warned_of_every_ten() {
        let warned = Warned::default();
        let times: Vec<u64> = (1..26).filter(|second| warned.is_due(Duration::from_secs(*second))).collect();
        assert_eq!(times, [1, 11, 21]);
    }
}

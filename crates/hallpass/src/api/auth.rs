//! Who calls: from headers and address to a [`Caller`].
//!
//! There is no middleware for this. A handler that wants a caller says so in its signature, and cannot be reached without one.

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use hallpass_core::api_token::{ApiToken, Owner, TokenStanding};
use hallpass_core::caller::{Actor, Caller, Origin, Powers};
use hallpass_core::id::UserId;
use hallpass_core::secret::{ClientSecret, SecretDigest, SecretKind};
use ipnet::IpNet;

use super::error::{ApiError, CredentialHeader};
use super::notes::Notes;
use super::rate_limit::Credential;
use super::{Api, published};
use crate::store::Purpose;
use crate::store::callers::{KnownToken, KnownUser};
use crate::store::error::StoreError;

/// The address from which a connection comes.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// A caller whose credential was verified.
#[derive(Debug)]
pub(super) struct Authenticated {
    caller: Caller,
    credential: Checked,
}

impl Deref for Authenticated {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl Authenticated {
    /// The same caller, looked up again: a body may take long to arrive, and what was revoked meanwhile must not act.
    pub(super) fn renewed(&self, api: &Api) -> Result<Caller, ApiError> {
        fresh(api)?;
        let origin = self.caller.origin;
        match &self.credential {
            Checked::Token(digest) => by_token(api, digest, origin).map(|(caller, _)| caller),
            Checked::Key { user, digest } => by_key(api.store.callers().known_user(*user), digest, origin),
        }
    }
}

/// A credential as it is compared with the store.
#[derive(Debug)]
enum Checked {
    Token(SecretDigest),
    Key { user: UserId, digest: SecretDigest },
}

impl FromRequestParts<Api> for Authenticated {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let notes = Notes::of(parts);
        let origin = Origin { client: client_address(api, parts), request_id: notes.request_id };
        let presented = Presented::read(&parts.headers)?;
        fresh(api)?;
        let verified = match presented {
            Presented::Token(secret) => acceptable_token(api, &secret).and_then(|digest| {
                let (caller, _) = by_token(api, &digest, origin)?;
                Ok(Self { caller, credential: Checked::Token(digest) })
            }),
            Presented::Key { email, key } => {
                let (known, digest) = acceptable_key(api, &email, &key);
                by_key(known, &digest, origin).map(|caller| {
                    let user = caller.user().unwrap_or(NOBODY);
                    Self { caller, credential: Checked::Key { user, digest } }
                })
            }
        };
        let authenticated = verified.map_err(|error| count_failure(api, parts, origin, error))?;
        count(api, notes, &authenticated)?;
        Ok(authenticated)
    }
}

/// The API token that a request shows to `verify`, which has an error of its own.
#[derive(Debug)]
pub(super) struct ShownToken(pub(super) Arc<ApiToken>);

impl FromRequestParts<Api> for ShownToken {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let notes = Notes::of(parts);
        let origin = Origin { client: client_address(api, parts), request_id: notes.request_id };
        let presented = Presented::read(&parts.headers)?;
        fresh(api)?;
        let verified = match presented {
            Presented::Token(secret) => {
                acceptable_token(api, &secret).and_then(|digest| by_token(api, &digest, origin))
            }
            Presented::Key { .. } => Err(ApiError::InvalidApiToken),
        };
        let (caller, token) = verified.map_err(|error| match count_failure(api, parts, origin, error) {
            ApiError::InvalidAccessToken => ApiError::InvalidApiToken,
            error => error,
        })?;
        count(api, notes, &caller)?;
        Ok(Self(token))
    }
}

/// What a request presents, read but not yet checked.
enum Presented {
    Token(ClientSecret),
    Key { email: String, key: ClientSecret },
}

impl Presented {
    /// Reads the headers. A bearer token counts before a key; an empty one does not count beside a complete key.
    fn read(headers: &HeaderMap) -> Result<Self, ApiError> {
        let authorization = single(headers, "authorization", CredentialHeader::Authorization)?;
        let email = single(headers, "x-auth-email", CredentialHeader::Email)?;
        let key = single(headers, "x-auth-key", CredentialHeader::Key)?;
        if let Some(authorization) = authorization {
            let bare = authorization.trim_ascii().eq_ignore_ascii_case(b"bearer");
            if !(bare && email.is_some() && key.is_some()) {
                return bearer(authorization).map(Self::Token);
            }
        }
        match (email, key) {
            (Some(email), Some(key)) => Ok(Self::Key {
                email: readable(email, 254, |byte| byte.is_ascii_graphic())
                    .filter(|email| email.split('@').filter(|part| !part.is_empty()).count() == 2)
                    .ok_or(ApiError::MalformedCredential(CredentialHeader::Email))?
                    .to_owned(),
                key: readable(key, 128, is_token_byte)
                    .map(ClientSecret::presented)
                    .ok_or(ApiError::MalformedCredential(CredentialHeader::Key))?,
            }),
            _ => Err(ApiError::NoCredentials),
        }
    }
}

/// The value of a header that may come once at most: with two, nobody knows which one was meant.
fn single<'a>(
    headers: &'a HeaderMap,
    name: &str,
    header: CredentialHeader,
) -> Result<Option<&'a [u8]>, ApiError> {
    let mut values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(ApiError::MalformedCredential(header)),
    }
}

fn bearer(value: &[u8]) -> Result<ClientSecret, ApiError> {
    let malformed = ApiError::MalformedCredential(CredentialHeader::Authorization);
    let Some((scheme, token)) = value.split_at_checked(7) else {
        return Err(malformed);
    };
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return Err(malformed);
    }
    readable(token.trim_ascii(), 512, is_token_byte).map(ClientSecret::presented).ok_or(malformed)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// The text, if it is not empty, not longer than `most`, and made of nothing but `allowed` bytes.
fn readable(value: &[u8], most: usize, allowed: impl Fn(u8) -> bool) -> Option<&str> {
    let fits = (1..=most).contains(&value.len()) && value.iter().copied().all(allowed);
    fits.then(|| std::str::from_utf8(value).ok()).flatten()
}

/// A directory of callers that is too old knows nobody; that is our fault, not the caller's.
fn fresh(api: &Api) -> Result<(), ApiError> {
    if api.store.callers().is_fresh() {
        Ok(())
    } else {
        Err(StoreError::Unavailable("the directory of callers is too old".to_owned()).into())
    }
}

/// What an API token is looked up by: its digest, so that how long it takes says nothing of the secret.
fn acceptable_token(api: &Api, secret: &ClientSecret) -> Result<SecretDigest, ApiError> {
    let digest = api.store.api_token_digest(secret);
    if is_acceptable(api, secret) { Ok(digest) } else { Err(ApiError::InvalidAccessToken) }
}

fn by_token(api: &Api, digest: &SecretDigest, origin: Origin) -> Result<(Caller, Arc<ApiToken>), ApiError> {
    let known = api.store.callers().token(digest);
    let KnownToken { token, user, accounts } = known.ok_or(ApiError::InvalidAccessToken)?;
    let now = api.world.now();
    if token.standing(now) != TokenStanding::Active {
        return Err(ApiError::InvalidAccessToken);
    }
    if !token.may_be_used_from(origin.client) {
        return Err(ApiError::WrongLocation(origin.client));
    }
    api.store.note_use(token.id, now);
    let actor = match token.owner {
        Owner::User(user) => Actor::UserToken { id: token.id, user },
        Owner::Account(_) => Actor::AccountToken { id: token.id },
    };
    let powers = Powers::Policies { policies: Arc::clone(&token.policies), user, accounts };
    Ok((Caller { actor, powers, origin }, token))
}

/// Nobody's id: a key is digested with an id even where there is no user, so that it takes as long.
const NOBODY: UserId = UserId::NIL;

/// The user with this e-mail address, if the key is not a published one, and the digest of the key as that user's.
fn acceptable_key(api: &Api, email: &str, key: &ClientSecret) -> (Option<KnownUser>, SecretDigest) {
    let known = api.store.callers().user_by_email(email);
    let id = known.as_ref().map_or(NOBODY, |known| known.user.id);
    let digest = api.store.digest(SecretKind::GlobalKey, &id.to_string(), key);
    (known.filter(|_| is_acceptable(api, key)), digest)
}

fn by_key(known: Option<KnownUser>, digest: &SecretDigest, origin: Origin) -> Result<Caller, ApiError> {
    let stored = known.as_ref().map_or(SecretDigest::from_stored([0; 32]), |known| known.key);
    match known {
        Some(known) if *digest == stored => {
            let powers = Powers::Everything { user: known.user.id, accounts: known.accounts };
            Ok(Caller { actor: Actor::User { id: known.user.id }, powers, origin })
        }
        _ => Err(ApiError::UnknownKey),
    }
}

/// The credentials of the published example open nothing but the emulator, even where somebody managed to store them.
fn is_acceptable(api: &Api, secret: &ClientSecret) -> bool {
    api.purpose == Purpose::Emulator || !published::is_published(secret)
}

fn count(api: &Api, notes: &Notes, caller: &Caller) -> Result<(), ApiError> {
    let credential = match &caller.actor {
        Actor::User { id } => Credential::Key(*id),
        Actor::UserToken { id, .. } | Actor::AccountToken { id } => Credential::ApiToken(*id),
        Actor::System(reason) => {
            return Err(ApiError::Internal(format!("a request in the name of {reason:?}")));
        }
    };
    notes.set_caller(format!("{}:{}", caller.actor.kind(), caller.actor.id()));
    let Some(usage) = api.limits.count(credential, api.world.monotonic()) else {
        return Ok(());
    };
    notes.set_usage(usage);
    if usage.within {
        Ok(())
    } else {
        Err(ApiError::RateLimited { retry_after_seconds: usage.reset_seconds })
    }
}

/// Counts a failed attempt; too many, and the answer is to wait.
fn count_failure(api: &Api, parts: &Parts, origin: Origin, error: ApiError) -> ApiError {
    let from = origin.client.or_else(|| peer(parts));
    let usage = from.and_then(|from| api.limits.count_failure(from, api.world.monotonic()));
    match usage {
        Some(usage) if !usage.within => {
            Notes::of(parts).set_usage(usage);
            ApiError::RateLimited { retry_after_seconds: usage.reset_seconds }
        }
        _ => error,
    }
}

fn peer(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<Peer>().map(|peer| peer.0.ip().to_canonical())
}

/// The client's address: the peer's, unless the peer may speak for others. Then it is the right-most address in
/// `X-Forwarded-For` that may not. `None` where such a peer speaks, but cannot be understood.
fn client_address(api: &Api, parts: &Parts) -> Option<IpAddr> {
    let peer = peer(parts)?;
    resolve_client(peer, &parts.headers, &api.trusted_peers.get())
}

fn resolve_client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let speaks_for_others = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if !speaks_for_others(&peer) {
        return Some(peer);
    }
    let mut client = peer;
    for value in headers.get_all("x-forwarded-for").iter().rev() {
        for hop in value.to_str().ok()?.rsplit(',') {
            client = hop_address(hop.trim())?;
            if !speaks_for_others(&client) {
                return Some(client);
            }
        }
    }
    Some(client)
}

/// An address as proxies write it: bare, with a port, or an IPv6 address in brackets.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let bare = hop.parse::<IpAddr>().ok();
    let bare = bare.or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()));
    let bare = bare.or_else(|| hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    bare.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        map
    }

    fn read(pairs: &[(&'static str, &str)]) -> Result<&'static str, String> {
        match Presented::read(&headers(pairs)) {
            Ok(Presented::Token(_)) => Ok("token"),
            Ok(Presented::Key { .. }) => Ok("key"),
            Err(error) => Err(format!("{error:?}")),
        }
    }

    const EMAIL: (&str, &str) = ("x-auth-email", "user@example.com");
    const KEY: (&str, &str) = ("x-auth-key", "144c9defac04969c7bfad8efaa8ea194");

    #[test]
    fn a_bearer_token_counts_before_a_key_and_an_empty_one_after_it() {
        assert_eq!(read(&[("authorization", "Bearer abc")]), Ok("token"));
        assert_eq!(read(&[("authorization", "bEARER   abc")]), Ok("token"));
        assert_eq!(read(&[EMAIL, KEY]), Ok("key"));
        assert_eq!(read(&[("authorization", "Bearer abc"), EMAIL, KEY]), Ok("token"));
        assert_eq!(read(&[("authorization", "Bearer "), EMAIL, KEY]), Ok("key"));
        assert_eq!(read(&[("authorization", "Bearer"), EMAIL, KEY]), Ok("key"));
    }

    #[test]
    fn nothing_or_half_of_a_pair_is_no_credential() {
        for pairs in [&[][..], &[EMAIL], &[KEY], &[("x-auth-user-service-key", "v1.0-x")]] {
            assert_eq!(read(pairs), Err("NoCredentials".to_owned()));
        }
    }

    #[test]
    fn what_is_malformed_is_named() {
        for (value, header) in [
            (("authorization", ""), "Authorization"),
            (("authorization", "Bearer"), "Authorization"),
            (("authorization", "Bearer a b"), "Authorization"),
            (("authorization", "Bearer a.b"), "Authorization"),
            (("authorization", "Basic abc"), "Authorization"),
            (("authorization", "abc"), "Authorization"),
            (("authorization", "Bearer \u{e9}"), "Authorization"),
        ] {
            assert_eq!(read(&[value]), Err(format!("MalformedCredential({header})")), "{value:?}");
        }
        assert_eq!(read(&[("x-auth-email", "user"), KEY]), Err("MalformedCredential(Email)".to_owned()));
        assert_eq!(read(&[EMAIL, ("x-auth-key", "a b")]), Err("MalformedCredential(Key)".to_owned()));
        assert_eq!(read(&[EMAIL, ("x-auth-key", "")]), Err("MalformedCredential(Key)".to_owned()));
        let long = "a".repeat(513);
        assert_eq!(
            read(&[("authorization", &format!("Bearer {long}"))]),
            Err("MalformedCredential(Authorization)".to_owned())
        );
    }

    #[test]
    fn two_headers_of_one_name_are_nobodys() {
        let twice = [("authorization", "Bearer abc"), ("authorization", "Bearer abc")];
        assert_eq!(read(&twice), Err("MalformedCredential(Authorization)".to_owned()));
        assert_eq!(read(&[EMAIL, EMAIL, KEY]), Err("MalformedCredential(Email)".to_owned()));
    }

    fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> Option<String> {
        let pairs: Vec<_> = forwarded.iter().map(|value| ("x-forwarded-for", *value)).collect();
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        resolve_client(peer.parse().unwrap(), &headers(&pairs), &trusted).map(|address| address.to_string())
    }

    #[test]
    fn only_a_listed_peer_speaks_for_a_client() {
        let some = |address: &str| Some(address.to_owned());
        assert_eq!(client("10.0.0.1", &["1.2.3.4"], &[]), some("10.0.0.1"));
        assert_eq!(client("10.0.0.1", &["1.2.3.4"], &["10.0.0.0/24"]), some("1.2.3.4"));
        assert_eq!(client("10.0.0.1", &["9.9.9.9, 1.2.3.4"], &["10.0.0.0/24"]), some("1.2.3.4"));
        assert_eq!(client("10.0.0.1", &["1.2.3.4, 10.0.0.2"], &["10.0.0.0/24"]), some("1.2.3.4"));
        assert_eq!(client("10.0.0.1", &["9.9.9.9", "1.2.3.4"], &["10.0.0.0/24"]), some("1.2.3.4"));
        assert_eq!(client("10.0.0.1", &["[2001:db8::1]:443"], &["10.0.0.0/24"]), some("2001:db8::1"));
        assert_eq!(client("10.0.0.1", &["::ffff:1.2.3.4"], &["10.0.0.0/24"]), some("1.2.3.4"));
        assert_eq!(client("10.0.0.1", &["1.2.3.4:5"], &["10.0.0.0/24"]), some("1.2.3.4"));
        assert_eq!(client("10.0.0.1", &[], &["10.0.0.0/24"]), some("10.0.0.1"));
    }

    #[test]
    fn a_listed_peer_that_cannot_be_understood_speaks_for_nobody() {
        for value in ["unknown", "", "1.2.3.4,", "1.2.3.4, garbage", "1.2.3.4 5.6.7.8"] {
            assert_eq!(client("10.0.0.1", &[value], &["10.0.0.0/24"]), None, "{value:?}");
        }
    }
}

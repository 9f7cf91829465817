//! What a request presents: a service token's credential, nothing, or something that is neither (compatibility, D10 and D22).
//!
//! There are two carriers: the pair of headers, and one header with JSON, where the application names one. Only their exact names
//! count. Whether the credential is any good is not decided here.

use serde::Deserialize;

use crate::client_id::ClientId;
use crate::secret::ClientSecret;

/// The header with the client ID, as HTTP compares names.
pub const CLIENT_ID_HEADER: &str = "cf-access-client-id";
/// The header with the secret.
pub const CLIENT_SECRET_HEADER: &str = "cf-access-client-secret";

/// A client ID has no more, nor has a host name.
const MAX_CLIENT_ID: usize = 253;
/// Issued secrets have 54 or 64 characters. Whatever has many more was not issued by anybody.
const MAX_SECRET: usize = 256;
/// Enough for both, with much white space.
const MAX_JSON: usize = 1_024;

/// A client ID and a secret that came together. Nothing says that they belong together.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Whose it claims to be.
    pub client_id: ClientId,
    /// What is to prove it.
    pub secret: ClientSecret,
}

/// What the headers of a request present.
#[derive(Debug, Clone)]
pub enum Presented {
    /// No carrier of a service token.
    Nothing,
    /// Something that cannot be a credential, or could be several.
    Malformed(MalformedCredential),
    /// One credential.
    Credential(Credential),
}

/// Why what was presented is no credential. It says nothing of what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedCredential {
    /// A carrier came twice.
    #[error("a header with a credential was sent more than once")]
    Duplicate,
    /// The pair and the single header came together.
    #[error("credentials were sent both as a pair of headers and in the single header")]
    Mixed,
    /// A half is missing.
    #[error("client ID and client secret must both be sent")]
    Incomplete,
    /// The client ID has not the form of one.
    #[error("the client ID is not of the form in which client IDs are issued")]
    ClientId,
    /// The secret is empty, too long, or not visible ASCII.
    #[error("the client secret must have 1 to 256 visible ASCII characters")]
    Secret,
    /// The single header begins like JSON and is not what is wanted.
    #[error(
        "the single header must be a JSON object of at most 1024 bytes with the two keys cf-access-client-id and \
         cf-access-client-secret, once each, in lower case, and plain strings as their values"
    )]
    Json,
}

/// The object in the single header. A text with an escape cannot be borrowed and is an error: no client ID and no secret has
/// a character that needs one, and a second copy of the secret is not wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SingleHeader<'h> {
    #[serde(rename = "cf-access-client-id")]
    client_id: Option<&'h str>,
    #[serde(rename = "cf-access-client-secret")]
    secret: Option<&'h str>,
}

/// A header that may come once.
#[derive(Clone, Copy)]
enum Seen<'h> {
    Never,
    Once(&'h [u8]),
    Often,
}

impl<'h> Seen<'h> {
    fn see(&mut self, value: &'h [u8]) {
        *self = match self {
            Self::Never => Self::Once(trim(value)),
            Self::Once(_) | Self::Often => Self::Often,
        };
    }
}

impl Presented {
    /// Reads the headers of a request, whose names are in lower case.
    ///
    /// `single_header` is the application's own carrier, in lower case. Only a value that begins with `{` makes it one: often it is
    /// `Authorization`, and `Bearer …` is meant for the origin. Such a value counts as if it were not there, but not beside
    /// one that begins with `{`.
    ///
    /// A carrier that comes twice, comes beside the other kind of carrier, or lacks a half is malformed, even if every value in
    /// it would do. Keys of the object that are not known are malformed too: `CF-Access-Client-Id` beside
    /// `cf-access-client-id` could mean either. A `single_header` that is one of the pair's names is ignored.
    pub fn read<'h>(headers: impl Iterator<Item = (&'h str, &'h [u8])>, single_header: Option<&str>) -> Self {
        let (mut client_id, mut secret, mut single) = (Seen::Never, Seen::Never, Seen::Never);
        let mut holds_json = false;
        for (name, value) in headers {
            match name {
                CLIENT_ID_HEADER => client_id.see(value),
                CLIENT_SECRET_HEADER => secret.see(value),
                _ if single_header == Some(name) => {
                    single.see(value);
                    holds_json |= trim(value).starts_with(b"{");
                }
                _ => {}
            }
        }
        let single = if holds_json { single } else { Seen::Never };
        let read = match (client_id, secret, single) {
            (Seen::Never, Seen::Never, Seen::Never) => return Self::Nothing,
            (Seen::Often, _, _) | (_, Seen::Often, _) | (_, _, Seen::Often) => {
                Err(MalformedCredential::Duplicate)
            }
            (Seen::Once(client_id), Seen::Once(secret), Seen::Never) => Credential::read(client_id, secret),
            (Seen::Never, Seen::Never, Seen::Once(json)) => Credential::from_json(json),
            (Seen::Once(_), Seen::Never, Seen::Never) | (Seen::Never, Seen::Once(_), Seen::Never) => {
                Err(MalformedCredential::Incomplete)
            }
            (_, _, Seen::Once(_)) => Err(MalformedCredential::Mixed),
        };
        read.map_or_else(Self::Malformed, Self::Credential)
    }
}

impl Credential {
    fn read(client_id: &[u8], secret: &[u8]) -> Result<Self, MalformedCredential> {
        let secret_fits = (1..=MAX_SECRET).contains(&secret.len()) && secret.iter().all(u8::is_ascii_graphic);
        let text = Some(client_id).filter(|text| text.len() <= MAX_CLIENT_ID);
        let text = text.and_then(|text| std::str::from_utf8(text).ok());
        let client_id = text.and_then(|text| text.parse().ok()).ok_or(MalformedCredential::ClientId)?;
        let secret = std::str::from_utf8(secret).ok().filter(|_| secret_fits);
        let secret = secret.ok_or(MalformedCredential::Secret)?;
        Ok(Self { client_id, secret: ClientSecret::presented(secret) })
    }

    fn from_json(json: &[u8]) -> Result<Self, MalformedCredential> {
        if json.len() > MAX_JSON {
            return Err(MalformedCredential::Json);
        }
        let read = serde_json::from_slice(json).map_err(|_| MalformedCredential::Json)?;
        match read {
            SingleHeader { client_id: Some(client_id), secret: Some(secret) } => {
                Self::read(client_id.as_bytes(), secret.as_bytes())
            }
            SingleHeader { .. } => Err(MalformedCredential::Incomplete),
        }
    }
}

/// Without the optional white space that HTTP allows around a value: blanks and tabs, and nothing else.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
#[path = "credential_tests.rs"]
mod tests;

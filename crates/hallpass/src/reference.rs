//! References of refusals: the true reason, sealed under the server key, so that the owner can ask for it without any row being
//! kept. The gate gives them, and the API opens them.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::decision::Reason;
use hallpass_core::id::{AppId, ServiceTokenId};
use hallpass_core::time::Timestamp;

use crate::server_key::ServerKey;
use crate::world::World;

/// What is sealed is for nothing else.
const PURPOSE: &[u8] = b"Hallpass-Ref 1";
const TAG: usize = 16;
/// Reason, token, application, time.
const CONTENT: usize = 1 + 16 + 16 + 8;
/// How long the text of a reference is.
const LENGTH: usize = (NONCE_LEN + CONTENT + TAG) * 4 / 3;

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: Reason,
    /// Whose credential it was, if that is known.
    pub token: Option<ServiceTokenId>,
    /// The application, if there is one.
    pub app: Option<AppId>,
    /// When.
    pub at: Timestamp,
}

/// Seals and opens references. Nonces are random, and the cipher forgives one that comes twice.
#[derive(Debug)]
pub struct References(LessSafeKey);

impl References {
    /// Under the server key.
    ///
    /// # Panics
    /// Never: the key has the length that the cipher wants.
    #[expect(clippy::expect_used, reason = "the key has the cipher's length")]
    pub fn new(key: &ServerKey) -> Self {
        let key = UnboundKey::new(&AES_256_GCM_SIV, &key.reference_key()).expect("32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// The reference of a refusal.
    pub fn seal(&self, refusal: &Refusal, world: &World) -> String {
        let nonce: [u8; NONCE_LEN] = world.random();
        let mut content = Vec::with_capacity(CONTENT + TAG);
        content.push(refusal.reason.code());
        content.extend_from_slice(&refusal.token.map_or([0; 16], |token| *token.as_bytes()));
        content.extend_from_slice(&refusal.app.map_or([0; 16], |app| *app.as_bytes()));
        content.extend_from_slice(&refusal.at.as_micros().to_be_bytes());
        let nonced = Nonce::assume_unique_for_key(nonce);
        if self.0.seal_in_place_append_tag(nonced, Aad::from(PURPOSE), &mut content).is_err() {
            // It never fails for so little; were it to, the reference would say nothing, and have the same length.
            content = vec![0; CONTENT + TAG];
        }
        let mut text = String::with_capacity(LENGTH + 2);
        URL_SAFE_NO_PAD.encode_string([&nonce[..], &content].concat(), &mut text);
        text
    }

    /// What a reference stands for; `None` if this server never gave it.
    pub fn open(&self, reference: &str) -> Option<Refusal> {
        let bytes = URL_SAFE_NO_PAD.decode(reference).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let content = self.0.open_in_place(nonce, Aad::from(PURPOSE), &mut sealed).ok()?;
        let (code, rest) = content.split_first()?;
        let (token, rest) = rest.split_first_chunk::<16>()?;
        let (app, at) = rest.split_first_chunk::<16>()?;
        Some(Refusal {
            reason: Reason::from_code(*code)?,
            token: (*token != [0; 16]).then(|| ServiceTokenId::from_bytes(*token)),
            app: (*app != [0; 16]).then(|| AppId::from_bytes(*app)),
            at: Timestamp::from_micros(i64::from_be_bytes(at.try_into().ok()?))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(reason: Reason, token: Option<ServiceTokenId>, app: Option<AppId>) -> Refusal {
        Refusal { reason, token, app, at: "2027-01-01T00:00:00Z".parse().unwrap() }
    }

    #[test]
    fn a_reference_opens_under_its_key_alone_and_always_has_one_length() {
        let world = World::machine();
        let key = ServerKey::random(&world);
        let (ours, others) = (References::new(&key), References::new(&ServerKey::random(&world)));
        let (token, app) = (ServiceTokenId::from_bytes([1; 16]), AppId::from_bytes([2; 16]));
        for reason in [Reason::Unknown, Reason::WrongSecret, Reason::Disabled, Reason::Malformed] {
            for (token, app) in [(Some(token), Some(app)), (None, Some(app)), (None, None)] {
                let refusal = refusal(reason, token, app);
                let text = ours.seal(&refusal, &world);
                assert_eq!(text.len(), LENGTH);
                assert_eq!(References::new(&key).open(&text), Some(refusal));
                assert_eq!(others.open(&text), None);
                assert_ne!(ours.seal(&refusal, &world), text, "no two are the same");
            }
        }
    }

    #[test]
    fn what_was_changed_or_cut_off_opens_nothing() {
        let world = World::machine();
        let ours = References::new(&ServerKey::random(&world));
        let text = ours.seal(&refusal(Reason::Expired, None, None), &world);
        for end in 0..text.len() {
            assert_eq!(ours.open(&text[..end]), None);
            let flipped = if &text[end..=end] == "A" { "B" } else { "A" };
            assert_eq!(ours.open(&format!("{}{flipped}{}", &text[..end], &text[end + 1..])), None);
        }
        assert_eq!(ours.open("no reference"), None);
    }
}

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
use serde_json::{Value, json};

use super::*;

const ACCOUNT: &str = "023e105f4ecef8ad9ca31a8372d0c353";

fn account() -> AccountId {
    ACCOUNT.parse().unwrap()
}

fn wrap(digit: &str) -> WrapKey {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("server.key");
    std::fs::write(&path, digit.repeat(64)).unwrap();
    WrapKey::new(&ServerKey::read(&path).unwrap())
}

fn made(state: KeyState, wrap: &WrapKey) -> StoredKey {
    let world = World::standing("2026-06-01T12:00:00Z".parse().unwrap());
    let NewKey { kid, wrapped, modulus, certificate } = NewKey::make(account(), wrap, &world).unwrap();
    StoredKey { kid, state, wrapped: Some(wrapped), modulus, certificate, signs_since: None }
}

fn verifies(published: &Value, token: &str) -> bool {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let header: Value = serde_json::from_slice(&part(signed.split('.').next().unwrap())).unwrap();
    let keys = published["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["kid"] == header["kid"]).unwrap();
    let (n, e) = (part(key["n"].as_str().unwrap()), part(key["e"].as_str().unwrap()));
    let key = PublicKeyComponents { n, e };
    key.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &part(signature)).is_ok()
}

#[test]
fn what_is_signed_verifies_by_what_is_published() {
    let wrap = wrap("5");
    let keys = [made(KeyState::Current, &wrap), made(KeyState::Next, &wrap)];
    let set = KeySet::open(&wrap, account(), &keys).unwrap();
    let published: Value = serde_json::from_str(set.published()).unwrap();
    let token = set.sign(&json!({"sub": ""})).unwrap();
    assert!(verifies(&published, &token));

    let parts: Vec<_> = token.split('.').collect();
    let header = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[0]).unwrap()).unwrap();
    assert_eq!(header, format!(r#"{{"alg":"RS256","kid":"{}","typ":"JWT"}}"#, set.kid()));
    assert_eq!(URL_SAFE_NO_PAD.decode(parts[1]).unwrap(), br#"{"sub":""}"#);
    assert_eq!(set.kid().len(), 64);
    let other = format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(r#"{"sub":"x"}"#), parts[2]);
    assert!(!verifies(&published, &other));

    // The shape of the original's key set, in its order.
    let key = |key: &StoredKey| {
        format!(
            r#"{{"kid":"{}","kty":"RSA","alg":"RS256","use":"sig","e":"AQAB","n":"{}"}}"#,
            key.kid, key.modulus
        )
    };
    let expected = format!(r#"{{"keys":[{},{}],"public_cert":"#, key(&keys[0]), key(&keys[1]));
    assert!(set.published().starts_with(&expected), "{}", set.published());
    assert_eq!(published["public_cert"], json!({"kid": keys[0].kid, "cert": keys[0].certificate}));
    assert_eq!(published["public_certs"].as_array().unwrap().len(), 2);
    assert!(keys[0].certificate.starts_with("-----BEGIN CERTIFICATE-----\n"));
    assert!(!format!("{set:?}{wrap:?}").contains(&keys[0].modulus));
}

#[test]
fn an_encrypted_key_opens_under_its_server_key_for_its_account_alone() {
    let right = wrap("5");
    let key = made(KeyState::Current, &right);
    let closed = |wrap: &WrapKey, account: AccountId, key: &StoredKey| {
        let error = KeySet::open(wrap, account, std::slice::from_ref(key)).unwrap_err();
        matches!(error, SigningError::Closed(_)) && !key.opens(wrap, account)
    };
    assert!(KeySet::open(&right, account(), std::slice::from_ref(&key)).is_ok());
    assert!(key.opens(&right, account()));
    assert!(closed(&wrap("6"), account(), &key));
    assert!(closed(&right, AccountId::NIL, &key));
    let renamed = StoredKey { kid: "0".repeat(64), ..key.clone() };
    assert!(closed(&right, account(), &renamed));
    let other = StoredKey { modulus: made(KeyState::Current, &right).modulus, ..key.clone() };
    assert!(closed(&right, account(), &other));
    let wrapped = key.wrapped.clone().unwrap();
    for damaged in [None, Some(Vec::new()), Some(wrapped[..20].to_vec()), Some([&wrapped[..], b"x"].concat())]
    {
        assert!(closed(&right, account(), &StoredKey { wrapped: damaged, ..key.clone() }));
    }
    let none = StoredKey { state: KeyState::Next, ..key };
    let error = KeySet::open(&right, account(), std::slice::from_ref(&none)).unwrap_err();
    assert!(matches!(error, SigningError::NoKey));
    assert!(none.opens(&right, account()));
}

#[test]
fn what_is_stored_is_no_private_key_in_clear() {
    /// How every RSA key in PKCS #8 goes on: version 0, rsaEncryption.
    const PREFIX: [u8; 15] =
        [0x02, 0x01, 0x00, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    let wrap = wrap("5");
    let key = made(KeyState::Current, &wrap);
    let contains = |bytes: &[u8]| bytes.windows(PREFIX.len()).any(|window| window == PREFIX);
    let wrapped = key.wrapped.unwrap();
    assert!(!contains(&wrapped));
    // The sign would be seen where it is.
    assert!(contains(&wrap.open(account(), &key.kid, &wrapped).unwrap()));
}

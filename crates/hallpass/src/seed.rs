//! The known state that the emulator begins with: the published example, or a file of the same form.

use hallpass_core::api_token::{ApiToken, Owner, Status};
use hallpass_core::app::Audience;
use hallpass_core::caller::{Grant, Scope, SystemReason};
use hallpass_core::client_id::ClientId;
use hallpass_core::id::{AccountId, ApiTokenId, AppId, ServiceTokenId, UserId, ZoneId};
use hallpass_core::organization::AuthDomain;
use hallpass_core::secret::ClientSecret;
use hallpass_core::service_token::{NewServiceToken, ServiceToken};
use hallpass_core::wire::apps::{self, AppSpec};
use hallpass_core::wire::body::{self, Fields, InvalidField};
use hallpass_core::wire::organizations::Change;
use hallpass_core::wire::{api_tokens, service_tokens};
use serde_json::{Value, json};

use crate::store::accounts::{Account, Membership, User, Zone};
use crate::store::error::WriteError;
use crate::store::{FirstToken, Founding, Store};
use crate::world::World;

/// The published example.
pub const EXAMPLE: &str = include_str!("seed.json");

/// A seed, as written and found to be readable.
#[derive(Debug, Clone)]
pub struct Seed(Value);

/// What is wrong with a seed, with pointers.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(|error| format!("{}: {}", error.pointer, error.message)).collect::<Vec<_>>().join("; "))]
pub struct InvalidSeed(Vec<InvalidField>);

/// Why a seed cannot be planted.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// It says something that cannot be.
    #[error(transparent)]
    Invalid(#[from] InvalidSeed),
    /// Its parts do not fit together, or the store failed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Seed {
    /// Reads a seed.
    pub fn parse(json: &str) -> Result<Self, InvalidSeed> {
        let seed = Self(body::parse(json.as_bytes()).map_err(|error| InvalidSeed(vec![error]))?);
        seed.contents(&World::machine())?;
        Ok(seed)
    }

    /// Stores everything; all of it is created now.
    pub async fn plant(&self, store: &Store, world: &World) -> Result<(), SeedError> {
        let grant = |account| Grant::system(SystemReason::Seed, Scope::Account(account), world.request_id());
        let (founding, apps) = self.contents(world)?;
        store.found(&grant(AccountId::NIL), founding, world.now()).await?;
        for FirstApp { id, account_id, aud, spec } in apps {
            store.apps().create(&grant(account_id), id, aud, spec, world.now()).await?;
        }
        Ok(())
    }

    fn contents(&self, world: &World) -> Result<(Founding, Vec<FirstApp>), InvalidSeed> {
        self.read(world).map_err(InvalidSeed)
    }

    fn read(&self, world: &World) -> Result<(Founding, Vec<FirstApp>), Vec<InvalidField>> {
        let now = world.now();
        let mut top = Fields::of_body(&self.0)?;
        let mut founding = Founding::default();
        each(&mut top, "accounts", |fields| {
            let account = Account { id: id(fields, "id")?, name: text(fields, "name")?, created_at: now };
            if let Some(domain) = fields.parsed("auth_domain", |text| AuthDomain::parse(text, account.id)) {
                let change = Change::Merge(json!({"auth_domain": domain.to_string()}));
                founding.organizations.push((account.id, change));
            }
            founding.accounts.push(account);
            Some(())
        });
        each(&mut top, "zones", |fields| {
            let (zone, account): (ZoneId, AccountId) = (id(fields, "id")?, id(fields, "account_id")?);
            founding.zones.push(Zone {
                id: zone,
                account_id: account,
                name: text(fields, "name")?,
                created_at: now,
            });
            Some(())
        });
        each(&mut top, "users", |fields| {
            let user_id: UserId = id(fields, "id")?;
            let email = text(fields, "email")?.to_lowercase();
            let key = ClientSecret::presented(&text(fields, "api_key")?);
            for account in fields.list("accounts").unwrap_or_default() {
                match account.as_str().and_then(|id| id.parse().ok()) {
                    Some(account_id) => {
                        founding.memberships.push(Membership {
                            id: world.membership_id(),
                            user_id,
                            account_id,
                        });
                    }
                    None => fields.refuse("accounts", "must be a list of account ids"),
                }
            }
            founding.users.push((User { id: user_id, email, created_at: now }, key));
            Some(())
        });
        each(&mut top, "api_tokens", |fields| {
            let token_id: ApiTokenId = id(fields, "id")?;
            let owner = match (fields.value("user_id"), fields.value("account_id")) {
                (Some(_), None) => Owner::User(id(fields, "user_id")?),
                (None, Some(_)) => Owner::Account(id(fields, "account_id")?),
                _ => {
                    fields.refuse("user_id", "say either user_id or account_id");
                    return None;
                }
            };
            let secret = ClientSecret::presented(&text(fields, "value")?);
            let spec = nested(fields, |body| api_tokens::read_token(body, &mut || world.token_policy_id()))?;
            let token = ApiToken {
                id: token_id,
                owner,
                name: spec.name,
                status: spec.status.unwrap_or(Status::Active),
                policies: spec.policies.into(),
                condition: spec.condition,
                not_before: spec.not_before,
                expires_on: spec.expires_on,
                issued_on: now,
                modified_on: now,
            };
            founding.api_tokens.push(FirstToken { token, secret });
            Some(())
        });
        each(&mut top, "service_tokens", |fields| {
            let (token_id, account_id): (ServiceTokenId, AccountId) =
                (id(fields, "id")?, id(fields, "account_id")?);
            let zone_id = fields.value("zone_id").is_some().then(|| id(fields, "zone_id"));
            let client_id: ClientId = id(fields, "client_id")?;
            let secret = ClientSecret::presented(&text(fields, "client_secret")?);
            let spec = nested(fields, service_tokens::read_create)?;
            let new =
                NewServiceToken { id: token_id, account_id, zone_id: zone_id.flatten(), client_id, spec };
            match ServiceToken::issue(new, now) {
                Ok(token) => founding.service_tokens.push(FirstToken { token, secret }),
                Err(rule) => fields.refuse("duration", rule),
            }
            Some(())
        });
        let mut apps = Vec::new();
        each(&mut top, "apps", |fields| {
            apps.push(read_app(fields, world)?);
            Some(())
        });
        top.finish(Some((founding, apps)))
    }
}

/// An application to begin with.
#[derive(Debug)]
struct FirstApp {
    id: AppId,
    account_id: AccountId,
    aud: Audience,
    spec: AppSpec,
}

fn read_app(fields: &mut Fields<'_>, world: &World) -> Option<FirstApp> {
    let (id, account_id) = (id(fields, "id")?, id(fields, "account_id")?);
    let aud = fields.parsed("aud", |text| Audience::parse(text).ok_or("must be 64 lower-case hex digits"));
    let aud = aud.unwrap_or_else(|| Audience::random(world.random()));
    let mut spec = nested(fields, |body| apps::read(body, &mut || world.policy_id()))?;
    // It says where the application is, and is no field of it.
    spec.body.remove("account_id");
    Some(FirstApp { id, account_id, aud, spec })
}

/// Reads each object of a list; what is wrong with one is noted in `top`. A reader returns `None` where it has noted something.
fn each(top: &mut Fields<'_>, key: &str, mut read: impl FnMut(&mut Fields<'_>) -> Option<()>) {
    let at = top.pointer_to(key);
    for (n, value) in top.list(key).unwrap_or_default().iter().enumerate() {
        let pointer = format!("{at}/{n}");
        match value.as_object() {
            Some(object) => {
                let mut fields = Fields::of_object(object, pointer);
                let done = read(&mut fields);
                top.refuse_all(fields.finish(done).err().unwrap_or_default());
            }
            None => top.refuse_all(vec![InvalidField { pointer, message: "must be an object".to_owned() }]),
        }
    }
}

fn text(fields: &mut Fields<'_>, key: &str) -> Option<String> {
    if fields.value(key).is_none() {
        fields.refuse(key, "is required");
    }
    fields.text(key).map(str::to_owned)
}

fn id<T: std::str::FromStr>(fields: &mut Fields<'_>, key: &str) -> Option<T>
where
    T::Err: std::fmt::Display,
{
    if fields.value(key).is_none() {
        fields.refuse(key, "is required");
    }
    fields.parsed(key, str::parse)
}

/// Reads the rest of an object by the rules of a request's body.
fn nested<T>(
    fields: &mut Fields<'_>,
    read: impl FnOnce(&Value) -> Result<T, Vec<InvalidField>>,
) -> Option<T> {
    match read(&fields.whole()) {
        Ok(value) => Some(value),
        Err(errors) => {
            let at = fields.pointer_to("");
            let under = |error: InvalidField| InvalidField {
                pointer: format!("{}{}", at.trim_end_matches('/'), error.pointer),
                ..error
            };
            fields.refuse_all(errors.into_iter().map(under).collect());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::published;

    #[test]
    fn the_example_is_the_published_one() {
        let (founding, apps) = Seed::parse(EXAMPLE).unwrap().contents(&World::machine()).unwrap();
        assert_eq!(founding.accounts[0].id.to_string(), published::ACCOUNT_ID);
        assert_eq!(
            (founding.zones[0].id.to_string().as_str(), founding.zones[0].name.as_str()),
            (published::ACCOUNT_ID, published::ZONE_NAME)
        );
        let domain = json!({"auth_domain": published::AUTH_DOMAIN});
        assert_eq!(founding.organizations, [(founding.accounts[0].id, Change::Merge(domain))]);
        assert_eq!(
            (founding.users[0].0.email.as_str(), founding.users[0].1.reveal()),
            (published::EMAIL, published::API_KEY)
        );
        assert_eq!(founding.api_tokens[0].secret.reveal(), published::API_TOKEN);
        assert_eq!(apps.len(), 1);
        assert_eq!(apps[0].id.to_string(), published::APP_ID);
        assert_eq!(apps[0].spec.patterns[0].as_str(), published::APP_DOMAIN);
        let token = &founding.service_tokens[0];
        assert_eq!(founding.service_tokens.len(), 1);
        assert_eq!(token.secret.reveal(), published::CLIENT_SECRET);
        assert_eq!(token.token.id.to_string(), published::SERVICE_TOKEN_ID);
        assert_eq!(token.token.client_id.as_str(), published::CLIENT_ID);
        assert_eq!(
            (token.token.name.as_str(), token.token.validity.as_str()),
            (published::SERVICE_TOKEN_NAME, published::DURATION)
        );
    }

    #[test]
    fn what_is_wrong_with_a_seed_is_told_with_its_place() {
        let error = Seed::parse(
            r#"{"accounts":[{"id":"x"}],"service_tokens":[1,{"id":"f174e90a-fafe-4643-bbbc-4a0ed4fc8415","account_id":"023e105f4ecef8ad9ca31a8372d0c353","client_id":"88bf3b6d86161464f6509f7219099e57.access","client_secret":"s","duration":"1d"}]}"#,
        );
        let message = error.unwrap_err().to_string();
        for place in [
            "/accounts/0/id:",
            "/service_tokens/0:",
            "/service_tokens/1/name:",
            "/service_tokens/1/duration:",
        ] {
            assert!(message.contains(place), "{message}");
        }
        assert!(Seed::parse("{").is_err());
        assert!(Seed::parse("{}").is_ok());
    }
}

//! What the gate judges by beside tokens: applications, groups, organizations and keys. It is exchanged whole.

use std::collections::HashSet;
use std::sync::Arc;

use hallpass_core::app::AppIndex;
use hallpass_core::id::{AccountId, GroupId};
use hallpass_core::organization::Organization;
use hallpass_core::rule::Rules;
use hallpass_core::time::Timestamp;
use hashbrown::HashMap;

use crate::signing_keys::KeySet;
use crate::store::gate_feed::Guards;

/// One state of it.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) apps: AppIndex,
    pub(super) groups: HashMap<GroupId, Rules>,
    issuers: HashMap<AccountId, Issuer>,
}

/// Who signs an account's assertions: its organization.
#[derive(Debug)]
struct Issuer {
    auth_domain: String,
    /// The `iss` of its assertions.
    name: String,
    /// Absent, if it has no keys or none can be used.
    keys: Option<KeySet>,
}

impl From<Guards> for Snapshot {
    fn from(guards: Guards) -> Self {
        let Guards { apps, groups, organizations, mut keys } = guards;
        let issuer = |organization: Organization| {
            let Organization { account_id, auth_domain, .. } = organization;
            let name = format!("https://{auth_domain}");
            (account_id, Issuer { name, auth_domain, keys: keys.remove(&account_id) })
        };
        Self {
            apps: AppIndex::new(apps.into_iter().map(Arc::new)),
            groups: groups.into_iter().map(|group| (group.id, group.rules)).collect(),
            issuers: organizations.into_iter().map(issuer).collect(),
        }
    }
}

impl Snapshot {
    /// The `iss` of an account's assertions, and what signs them; `None` where it can sign nothing.
    pub(super) fn signer(&self, account: AccountId) -> Option<(&str, &KeySet)> {
        let issuer = self.issuers.get(&account)?;
        Some((&issuer.name, issuer.keys.as_ref()?))
    }

    /// Whether there are applications, and not one of them has an account that can sign.
    pub(super) fn can_sign_nothing(&self) -> bool {
        let mut apps = self.apps.apps().peekable();
        apps.peek().is_some() && apps.all(|app| self.signer(app.account_id).is_none())
    }

    /// How many accounts have applications, and can sign nothing.
    pub(super) fn accounts_that_cannot_sign(&self) -> usize {
        let accounts: HashSet<_> = self.apps.apps().map(|app| app.account_id).collect();
        accounts.into_iter().filter(|account| self.signer(*account).is_none()).count()
    }

    /// Since when the key signs that has been signing for longest.
    pub(super) fn oldest_key(&self) -> Option<Timestamp> {
        self.issuers.values().filter_map(|issuer| issuer.keys.as_ref()?.signs_since()).min()
    }

    /// The key set for whoever checks assertions at this host: an auth domain, or the host of an application. Where there is but one
    /// organization, every host is its host (compatibility, D28).
    pub(super) fn published(&self, host: &str) -> Option<&str> {
        let named = self.issuers.values().find(|issuer| issuer.auth_domain.eq_ignore_ascii_case(host));
        let issuer = named.or_else(|| match self.apps.at_host(host) {
            Some(app) => self.issuers.get(&app.account_id),
            None => self.only_issuer(),
        });
        issuer?.keys.as_ref().map(KeySet::published)
    }

    fn only_issuer(&self) -> Option<&Issuer> {
        let mut all = self.issuers.values();
        all.next().filter(|_| all.next().is_none())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use hallpass_core::app::App;
    use hallpass_core::policy::PolicyDecision;
    use hallpass_core::rule::Rule;

    use super::super::place_tests::{ACCOUNT, app, key_set, organization};
    use super::*;

    #[test]
    fn one_accounts_missing_key_does_not_take_the_gate_from_the_others() {
        let (home, abroad) = (AccountId::from_bytes(ACCOUNT), AccountId::from_bytes([8; 16]));
        let ours = app(1, "ours.example.com", PolicyDecision::NonIdentity, Rule::AnyValidServiceToken);
        let ours = Arc::unwrap_or_clone(ours);
        let theirs = App { account_id: abroad, ..ours.clone() };
        let keyed = |apps| {
            Snapshot::from(Guards {
                apps,
                organizations: vec![organization(home, "home.example.org")],
                keys: HashMap::from([(home, key_set(home))]),
                ..Guards::default()
            })
        };
        for (apps, nothing, accounts) in
            [(vec![], false, 0), (vec![ours.clone(), theirs.clone()], false, 1), (vec![theirs], true, 1)]
        {
            let snapshot = keyed(apps);
            assert_eq!(
                (snapshot.can_sign_nothing(), snapshot.accounts_that_cannot_sign()),
                (nothing, accounts)
            );
        }
    }

    #[test]
    fn each_host_has_the_keys_of_its_own_account() {
        let (home, abroad) = (AccountId::from_bytes(ACCOUNT), AccountId::from_bytes([8; 16]));
        let service_auth =
            |n, pattern| app(n, pattern, PolicyDecision::NonIdentity, Rule::AnyValidServiceToken);
        let theirs = |n, pattern| App { account_id: abroad, ..(*service_auth(n, pattern)).clone() };
        let snapshot = Snapshot::from(Guards {
            apps: vec![
                Arc::unwrap_or_clone(service_auth(1, "*.example.com")),
                theirs(2, "ci*.example.com/deep"),
                theirs(3, "wiki.example.com"),
            ],
            organizations: vec![
                organization(home, "home.example.org"),
                organization(abroad, "abroad.example.org"),
            ],
            keys: HashMap::from([(home, key_set(home)), (abroad, key_set(abroad))]),
            ..Guards::default()
        });
        let published = |account: &AccountId| snapshot.signer(*account).unwrap().1.published();
        for (host, account) in [
            ("home.example.org", Some(home)),
            ("abroad.example.org", Some(abroad)),
            ("grafana.example.com", Some(home)),
            ("ci.example.com", Some(abroad)),
            ("ci-2.example.com", Some(abroad)),
            ("wiki.example.com", Some(abroad)),
            ("example.com", None),
            ("a.b.example.com", None),
            ("elsewhere.test", None),
        ] {
            let expected = account.as_ref().map(published);
            assert_eq!(snapshot.published(host), expected, "{host}");
        }
    }
}

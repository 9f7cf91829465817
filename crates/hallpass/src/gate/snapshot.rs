//! What the gate judges by beside tokens: applications, groups, organizations and keys. It is exchanged whole.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hallpass_core::app::AppIndex;
use hallpass_core::id::{AccountId, GroupId};
use hallpass_core::organization::Organization;
use hallpass_core::rule::Rules;
use hallpass_core::time::Timestamp;

use crate::signing_keys::KeySet;
use crate::store::gate_feed::Guards;

/// One state of it.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) apps: AppIndex,
    pub(super) groups: HashMap<GroupId, Rules>,
    pub(super) organizations: HashMap<AccountId, Organization>,
    pub(super) keys: HashMap<AccountId, KeySet>,
}

impl From<Guards> for Snapshot {
    fn from(guards: Guards) -> Self {
        let Guards { apps, groups, organizations, keys } = guards;
        Self {
            apps: AppIndex::new(apps.into_iter().map(Arc::new)),
            groups: groups.into_iter().map(|group| (group.id, group.rules)).collect(),
            organizations: organizations.into_iter().map(|one| (one.account_id, one)).collect(),
            keys,
        }
    }
}

impl Snapshot {
    /// By what an account's assertions are issued and signed; `None` where it can sign nothing.
    pub(super) fn signer(&self, account: AccountId) -> Option<(&Organization, &KeySet)> {
        Some((self.organizations.get(&account)?, self.keys.get(&account)?))
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
        self.keys.values().filter_map(KeySet::signs_since).min()
    }

    /// The key set for whoever checks assertions at this host: an auth domain, or the host of an application. Where there is but one
    /// organization, every host is its host (compatibility, D28).
    pub(super) fn published(&self, host: &str) -> Option<&str> {
        let named = self.organizations.values().find(|one| one.auth_domain.eq_ignore_ascii_case(host));
        let account = match named {
            Some(organization) => Some(organization.account_id),
            None => self.apps.at_host(host).map(|app| app.account_id).or_else(|| self.only_organization()),
        };
        self.keys.get(&account?).map(KeySet::published)
    }

    fn only_organization(&self) -> Option<AccountId> {
        let mut all = self.organizations.keys();
        all.next().copied().filter(|_| all.next().is_none())
    }
}

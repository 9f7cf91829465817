//! Permissions, and the permission groups that give them, with ids that are the same everywhere.

use crate::id::PermissionGroupId;

/// Something that one may be allowed to do: an area, and how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Permission {
    area: Area,
    level: Level,
}

/// What a permission is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Area {
    ServiceTokens,
    AccountApiTokens,
    UserApiTokens,
    AppsAndPolicies,
    AppsAndPoliciesOfZone,
    AppSessions,
    Organizations,
    AuditLogs,
}

/// How far a permission goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Level {
    Read,
    Write,
}

impl Permission {
    /// See service tokens.
    pub const SERVICE_TOKENS_READ: Self = Self::read(Area::ServiceTokens);
    /// Make, change and delete service tokens.
    pub const SERVICE_TOKENS_WRITE: Self = Self::write(Area::ServiceTokens);
    /// See an account's API tokens.
    pub const ACCOUNT_API_TOKENS_READ: Self = Self::read(Area::AccountApiTokens);
    /// Make, change and delete an account's API tokens.
    pub const ACCOUNT_API_TOKENS_WRITE: Self = Self::write(Area::AccountApiTokens);
    /// See a user's API tokens.
    pub const USER_API_TOKENS_READ: Self = Self::read(Area::UserApiTokens);
    /// Make, change and delete a user's API tokens.
    pub const USER_API_TOKENS_WRITE: Self = Self::write(Area::UserApiTokens);
    /// See applications, their policies, and reusable policies.
    pub const APPS_READ: Self = Self::read(Area::AppsAndPolicies);
    /// Make, change and delete applications and policies.
    pub const APPS_WRITE: Self = Self::write(Area::AppsAndPolicies);
    /// See the applications and policies of a zone.
    pub const ZONE_APPS_READ: Self = Self::read(Area::AppsAndPoliciesOfZone);
    /// Make, change and delete the applications and policies of a zone.
    pub const ZONE_APPS_WRITE: Self = Self::write(Area::AppsAndPoliciesOfZone);
    /// Revoke the assertions of an application.
    pub const APP_SESSIONS_REVOKE: Self = Self::write(Area::AppSessions);
    /// See groups, the organization, and when its keys are rotated.
    pub const ORGANIZATIONS_READ: Self = Self::read(Area::Organizations);
    /// Change groups and the organization, and rotate its keys.
    pub const ORGANIZATIONS_WRITE: Self = Self::write(Area::Organizations);
    /// See who changed what in an account.
    pub const AUDIT_LOGS_READ: Self = Self::read(Area::AuditLogs);

    const fn read(area: Area) -> Self {
        Self { area, level: Level::Read }
    }

    const fn write(area: Area) -> Self {
        Self { area, level: Level::Write }
    }

    /// Whether it can be held on a zone alone. The others are held on an account or a user.
    pub(crate) fn is_of_zone(self) -> bool {
        self.area == Area::AppsAndPoliciesOfZone
    }

    /// The permissions of which holding one is enough: what may write may read.
    pub(crate) fn included_in(self) -> impl Iterator<Item = Self> {
        let writing = Self::write(self.area);
        std::iter::once(self).chain((self != writing).then_some(writing))
    }

    /// The permissions that this one includes. Whoever is denied one of them is denied the whole.
    pub(crate) fn includes(self) -> impl Iterator<Item = Self> {
        let reading = Self::read(self.area);
        std::iter::once(self).chain((self != reading).then_some(reading))
    }
}

/// On what kind of resource a permission group acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupScope {
    /// On accounts.
    Account,
    /// On zones.
    Zone,
    /// On users.
    User,
}

impl GroupScope {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "com.cloudflare.api.account",
            Self::Zone => "com.cloudflare.api.account.zone",
            Self::User => "com.cloudflare.api.user",
        }
    }
}

/// A permission group: a name and an id for something that can be granted.
#[derive(Debug, Clone, Copy)]
pub struct PermissionGroup {
    /// Its identifier.
    pub id: PermissionGroupId,
    /// Its name. Names are not unique: the same one exists for accounts and for zones.
    pub name: &'static str,
    /// On what it acts.
    pub scope: GroupScope,
    /// What it opens here; nothing, where Hallpass has nothing behind it.
    pub opens: Option<Permission>,
}

impl PermissionGroup {
    /// All groups, sorted by id.
    pub fn all() -> &'static [Self] {
        GROUPS
    }

    /// The groups of which each alone is enough for a permission.
    pub fn enough_for(permission: Permission) -> impl Iterator<Item = &'static Self> {
        let enough = move |opened| permission.included_in().any(|enough| enough == opened);
        GROUPS.iter().filter(move |group| group.opens.is_some_and(enough))
    }

    /// The group with this id.
    pub fn find(id: PermissionGroupId) -> Option<&'static Self> {
        let found = GROUPS.binary_search_by(|group| group.id.cmp(&id)).ok()?;
        GROUPS.get(found)
    }
}

const fn group(id: &str, scope: GroupScope, name: &'static str, opens: Permission) -> PermissionGroup {
    PermissionGroup { id: PermissionGroupId::from_source(id), name, scope, opens: Some(opens) }
}

/// A group that clients ask for and that opens nothing here.
const fn foreign(id: &str, scope: GroupScope, name: &'static str) -> PermissionGroup {
    PermissionGroup { id: PermissionGroupId::from_source(id), name, scope, opens: None }
}

use GroupScope::{Account, User, Zone};

/// Sorted by id; [`PermissionGroup::find`] relies on it. Rows are only ever added: stored policies name them. The one id that no
/// public source gives is our own; it starts with `68616c6c70617373`.
#[rustfmt::skip]
const GROUPS: &[PermissionGroup] = &[
    foreign("08e61dabe81a422dab0dea6fdef1a98a", Account, "Access: Custom Pages Read"),
    foreign("09b2857d1c31407795e75e3fed8617a1", Account, "D1 Write"),
    group("0cc3a61731504c89b99ec1be78b77aa0", User, "API Tokens Read", Permission::USER_API_TOKENS_READ),
    foreign("0cf6473ad41449e7b7b743d14fc20c60", Account, "Images Read"),
    foreign("18555e39c5ba40d284dde87eda845a90", Account, "Disable ESC Write"),
    foreign("192192df92ee43ac90f2aeeffce67e35", Account, "D1 Read"),
    foreign("1a71c399035b4950a1bd1466bbe4f420", Account, "Workers Scripts Read"),
    foreign("1af1fa2adc104452b74a9a3364202f20", Account, "Account Settings Write"),
    group("1e13c5124ca64b72b1969a67e8829049", Account, "Access: Apps and Policies Write", Permission::APPS_WRITE),
    group("26bc23f853634eb4bff59983b9064fde", Account, "Access: Organizations, Identity Providers, and Groups Read", Permission::ORGANIZATIONS_READ),
    foreign("29d3afbfd4054af9accdd1118815ed05", Account, "Access: Mutual TLS Certificates Write"),
    foreign("29eefa0805f94fdfae2b058b5b52f319", Account, "Disable ESC Read"),
    foreign("2edbf20661fd4661b0fe10e9e12f485c", Account, "Account Rule Lists Write"),
    foreign("3030687196b94b638145a3953da2b699", Zone, "Zone Settings Write"),
    foreign("3518d0f75557482e952c6762d3e64903", User, "Memberships Read"),
    foreign("366f57075ffc42689627bcf8242a1b6d", Account, "Queues Write"),
    foreign("3e0b5820118e47f3922f7c989e673882", Zone, "Logs Write"),
    foreign("3f376c8e6f764a938b848bd01c8995c4", Account, "Zero Trust Read"),
    foreign("419ec42810af4659ade77716dbe47bc6", Account, "Load Balancers Account Write"),
    foreign("43137f8d07884d3198dc0ee77ca6e79b", Zone, "Firewall Services Write"),
    foreign("4755a26eedb94da69e1066d98aa820be", Zone, "DNS Write"),
    foreign("4e5fd8ac327b4a358e48c66fcbeb856d", Account, "Access: Custom Pages Write"),
    foreign("4ec32dfcb35641c5bb32d5ef1ab963b4", Zone, "Firewall Services Read"),
    foreign("4f1071168de8466e9808de86febfc516", Account, "Account Rule Lists Read"),
    foreign("4f3196a5c95747b6ad82e34e1d0a694f", Account, "Access: Mutual TLS Certificates Read"),
    foreign("517b21aee92c4d89936c976ba6e4be55", Zone, "Zone Settings Read"),
    foreign("55a5e17cc99e4a3fa1f3432d262f2e55", User, "User Details Write"),
    foreign("56907406c3d548ed902070ec4df0e328", Account, "Account Rulesets Write"),
    foreign("59059f0c977b44f8b1c18e0aaf91c369", Account, "Load Balancers Account Read"),
    group("5bc3f8b21c554832afc660159ab75fa4", Account, "Account API Tokens Write", Permission::ACCOUNT_API_TOKENS_WRITE),
    foreign("5d78fd7895974fd0bdbbbb079482721b", Account, "Turnstile Sites Read"),
    foreign("618ec6c64a3a42f8b08bdcb147ded4e4", Account, "Images Write"),
    foreign("68616c6c706173730000000000000001", Zone, "Zone Security Center Insights Read"),
    group("686d18d5ac6c441c867cbf6771e58a0a", User, "API Tokens Write", Permission::USER_API_TOKENS_WRITE),
    foreign("6a315a56f18441e59ed03352369ae956", Account, "Logs Read"),
    foreign("6c80e02421494afc9ae14414ed442632", Account, "Billing Write"),
    group("6c9d1cfcfc6840a987d1b5bfb880a841", Account, "Access: Apps and Policies Revoke", Permission::APP_SESSIONS_REVOKE),
    foreign("6d7f2f5f5b1d4a0e9081fdc98d432fd1", Zone, "Load Balancers Write"),
    foreign("714f9c13a5684c2885a793f5edb36f59", Account, "Stream Write"),
    foreign("755c05aa014b4f9ab263aa80b8167bd8", Account, "Turnstile Sites Write"),
    foreign("7b7216b327b04b8fbc8f524e1f9b7531", Zone, "SSL and Certificates Read"),
    foreign("7cf72faf220841aabcfdfab81c43c4f6", Account, "Billing Read"),
    group("7ea222f6d5064cfa89ea366d7c1fee89", Account, "Access: Apps and Policies Read", Permission::APPS_READ),
    foreign("82e64a83756745bbbb1c9c2701bf816b", Zone, "DNS Read"),
    foreign("84a7755d54c646ca87cd50682a34bf7c", Account, "Queues Read"),
    foreign("8acbe5bb0d54464ab867149d7f7cf8ac", User, "User Details Read"),
    foreign("8b47d2786a534c08a1f94ee8f9f599ef", Account, "Workers KV Storage Read"),
    foreign("8d28297797f24fb8a0c332fe0866ec89", Account, "Pages Write"),
    foreign("9110d9dd749e464fb9f3961a2064efc5", Zone, "Disable ESC Write"),
    group("91f7ce32fa614d73b7e1fc8f0e78582b", Account, "Access: Service Tokens Read", Permission::SERVICE_TOKENS_READ),
    foreign("9201bc6f42d440968aaab0c6f17ebb1d", User, "Memberships Write"),
    group("959972745952452f8be2452be8cbb9f2", Zone, "Access: Apps and Policies Write", Permission::ZONE_APPS_WRITE),
    foreign("96163bd1b0784f62b3e44ed8c2ab1eb6", Account, "Logs Write"),
    foreign("9c88f9c5bce24ce7af9a958ba9c504db", Zone, "Analytics Read"),
    foreign("9d24387c6e8544e2bc4024a03991339f", Account, "Load Balancing: Monitors and Pools Read"),
    group("a1c0fec57cf94af79479a6d827fa518c", Account, "Access: Service Tokens Write", Permission::SERVICE_TOKENS_WRITE),
    foreign("a7a233f9604845c787d4c8c39ac09c21", Account, "Account: SSL and Certificates Read"),
    group("b05b28e839c54467a7d6cba5d3abb5a3", Account, "Access: Audit Logs Read", Permission::AUDIT_LOGS_READ),
    foreign("b33f02c6f7284e05a6f20741c0bb0567", Account, "Zero Trust Write"),
    foreign("b415b70a4fd1412886f164451f20405c", Zone, "Page Rules Read"),
    foreign("b4992e1108244f5d8bfbd5744320c2e1", Account, "Workers R2 Storage Read"),
    foreign("b89a480218d04ceb98b4fe57ca29dc1f", Account, "Account Analytics Read"),
    foreign("bf7481a1826f439697cb59a20b22293e", Account, "Workers R2 Storage Write"),
    group("bfe0d8686a584fa680f4c53b5eb0de6d", Account, "Access: Organizations, Identity Providers, and Groups Write", Permission::ORGANIZATIONS_WRITE),
    foreign("c03055bc037c4ea9afb9a9f104b7b721", Zone, "SSL and Certificates Write"),
    foreign("c07321b023e944ff818fec44d8203567", Account, "Cloudflare Tunnel Write"),
    foreign("c1fde68c7bcc44588cbb6ddbc16d6480", Account, "Account Settings Read"),
    foreign("c4a30cd58c5d42619c86a3c36c441e2d", Zone, "Logs Read"),
    foreign("c8fed203ed3043cba015a93ad1616f1f", Zone, "Zone Read"),
    foreign("cfa2e2893226455c9b945914969dff7c", Account, "Account Security Center Insights Write"),
    foreign("d2a1802cc9a34e30852f8b33869b2f3c", Account, "Load Balancing: Monitors and Pools Write"),
    foreign("db37e5f1cb1a4e1aabaef8deaea43575", Account, "Account: SSL and Certificates Write"),
    foreign("de21485a24744b76a004aa153898f7fe", Account, "Stream Read"),
    foreign("e086da7e2179491d91ee5f35b3ca210a", Account, "Workers Scripts Write"),
    foreign("e17beae8b8cb423a99b1730f21238bed", Zone, "Cache Purge"),
    foreign("e199d584e69344eba202452019deafe3", Zone, "Disable ESC Read"),
    foreign("e247aedd66bd41cc9193af0213416666", Account, "Pages Read"),
    foreign("e6d2666161e84845a636613608cee8d5", Zone, "Zone Write"),
    foreign("e9a975f628014f1d85b723993116f7d5", Zone, "Load Balancers Read"),
    group("eb258a38ea634c86a0c89da6b27cb6b6", Zone, "Access: Apps and Policies Read", Permission::ZONE_APPS_READ),
    group("eb56a6953c034b9d97dd838155666f06", Account, "Account API Tokens Read", Permission::ACCOUNT_API_TOKENS_READ),
    foreign("ece81d7757ff406cad61f221a4920d55", Account, "Account Security Center Insights Read"),
    foreign("ed07f6c337da4195b4e72a1fb2c6bcae", Zone, "Page Rules Write"),
    foreign("efea2ab8357b47888938f101ae5e053f", Account, "Cloudflare Tunnel Read"),
    foreign("f7f0eda5697f475c90846e879bab8666", Account, "Workers KV Storage Write"),
    foreign("fb39996ee9044d2a8725921e02744b39", Account, "Account Rulesets Read"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_sorted_by_id_and_found() {
        assert!(GROUPS.is_sorted_by(|one, two| one.id < two.id));
        for group in GROUPS {
            assert_eq!(PermissionGroup::find(group.id).unwrap().name, group.name);
            assert_ne!(group.id, PermissionGroupId::from_source("not hex"));
        }
    }

    #[test]
    fn the_groups_that_open_something_have_the_published_ids() {
        for (id, name) in [
            ("91f7ce32fa614d73b7e1fc8f0e78582b", "Access: Service Tokens Read"),
            ("a1c0fec57cf94af79479a6d827fa518c", "Access: Service Tokens Write"),
            ("7ea222f6d5064cfa89ea366d7c1fee89", "Access: Apps and Policies Read"),
            ("eb258a38ea634c86a0c89da6b27cb6b6", "Access: Apps and Policies Read"),
            ("1e13c5124ca64b72b1969a67e8829049", "Access: Apps and Policies Write"),
            ("959972745952452f8be2452be8cbb9f2", "Access: Apps and Policies Write"),
            ("6c9d1cfcfc6840a987d1b5bfb880a841", "Access: Apps and Policies Revoke"),
            (
                "26bc23f853634eb4bff59983b9064fde",
                "Access: Organizations, Identity Providers, and Groups Read",
            ),
            (
                "bfe0d8686a584fa680f4c53b5eb0de6d",
                "Access: Organizations, Identity Providers, and Groups Write",
            ),
            ("b05b28e839c54467a7d6cba5d3abb5a3", "Access: Audit Logs Read"),
            ("eb56a6953c034b9d97dd838155666f06", "Account API Tokens Read"),
            ("5bc3f8b21c554832afc660159ab75fa4", "Account API Tokens Write"),
        ] {
            let group = PermissionGroup::find(id.parse().unwrap()).unwrap();
            assert_eq!(group.name, name);
            assert!(group.opens.is_some());
        }
    }

    #[test]
    fn what_is_enough_for_a_permission_is_its_own_group_and_the_one_that_may_write() {
        let names =
            |permission| PermissionGroup::enough_for(permission).map(|group| group.name).collect::<Vec<_>>();
        let (read, write) = ("Access: Service Tokens Read", "Access: Service Tokens Write");
        assert_eq!(names(Permission::SERVICE_TOKENS_READ), [read, write]);
        assert_eq!(names(Permission::SERVICE_TOKENS_WRITE), [write]);
        assert_eq!(names(Permission::AUDIT_LOGS_READ), ["Access: Audit Logs Read"]);
    }

    #[test]
    fn writing_includes_reading_and_no_more() {
        let set = |permissions: &mut dyn Iterator<Item = Permission>| permissions.collect::<Vec<_>>();
        let (read, write) = (Permission::SERVICE_TOKENS_READ, Permission::SERVICE_TOKENS_WRITE);
        assert_eq!(set(&mut read.included_in()), [read, write]);
        assert_eq!(set(&mut write.included_in()), [write]);
        assert_eq!(set(&mut read.includes()), [read]);
        assert_eq!(set(&mut write.includes()), [write, read]);
    }
}

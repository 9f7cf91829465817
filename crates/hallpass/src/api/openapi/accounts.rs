//! The operations on accounts, zones, memberships, the user and the audit log; health; and the description itself.

use hallpass_core::permission::Permission;
use hallpass_core::wire::codes::Code;

use super::parameters::{access_query, audit_query, paging, text};
use super::{Access, Operation, Reply};

pub(in crate::api) fn list_accounts() -> Operation {
    let mut query = paging();
    query.push(text("name", "All of the name."));
    Operation {
        description: "Those that the credential reaches.",
        query,
        ..Operation::new("accounts-list-accounts", "Accounts", "List accounts", Reply::Page("Account"))
    }
}

pub(in crate::api) fn get_account() -> Operation {
    Operation::new("accounts-account-details", "Accounts", "Get an account", Reply::One("Account"))
}

pub(in crate::api) fn list_zones() -> Operation {
    let mut query = paging();
    query.push(text("name", "The domain name."));
    query.push(text("status", "All zones are active."));
    query.push(text("account.id", "The account that owns it."));
    query.push(text("account.name", "What people call that account."));
    Operation {
        description: "Those that the credential reaches.",
        query,
        ..Operation::new("zones-get", "Zone", "List zones", Reply::Page("Zone"))
    }
}

pub(in crate::api) fn get_zone() -> Operation {
    Operation::new("zones-0-get", "Zone", "Get a zone", Reply::One("Zone"))
}

pub(in crate::api) fn list_memberships() -> Operation {
    let mut query = paging();
    query.push(text("status", "All memberships are accepted."));
    query.push(text("account.name", "What people call the account."));
    Operation {
        description: "Those of the user. An account's API token has none.",
        query,
        ..Operation::new(
            "user'-s-account-memberships-list-memberships",
            "User's Account Memberships",
            "List memberships",
            Reply::Page("Membership"),
        )
    }
}

pub(in crate::api) fn get_user() -> Operation {
    Operation {
        description: "An account's API token has none.",
        ..Operation::new("user-user-details", "User", "Get the user", Reply::One("User"))
    }
}

pub(in crate::api) fn audit_log() -> Operation {
    Operation {
        description: "Who changed what in the account, from since up to before. Filters with .not leave out what they name. \
                      Every change has one entry; requests that changed nothing have none.",
        access: Access::Holder(Permission::AUDIT_LOGS_READ),
        query: audit_query(),
        ..Operation::new(
            "audit-logs-v2-get-account-audit-logs",
            "Audit Logs",
            "List audit logs",
            Reply::Cursor("AuditEntry"),
        )
    }
}

pub(in crate::api) fn access_log() -> Operation {
    Operation {
        description: "What the gate decided. An entry is one refusal, or all that an application accepted of one secret within a \
                      minute. All refusals of known service tokens have entries, and some of others.",
        access: Access::Holder(Permission::AUDIT_LOGS_READ),
        query: access_query(),
        ..Operation::new(
            "access-authentication-logs-get-access-authentication-logs",
            "Access Authentication Logs",
            "List access requests",
            Reply::Page("AccessRequest"),
        )
    }
}

pub(in crate::api) fn healthz() -> Operation {
    Operation {
        description: "The process answers.",
        access: Access::Anybody,
        ..Operation::new("healthz", "Health", "Whether the server lives", Reply::One("Alive"))
    }
}

pub(in crate::api) fn readyz() -> Operation {
    Operation {
        description: "The store can be read, the writer runs, and callers are known.",
        access: Access::Anybody,
        codes: &[Code::Unavailable],
        ..Operation::new("readyz", "Health", "Whether the server can serve", Reply::One("Ready"))
    }
}

pub(in crate::api) fn itself() -> Operation {
    Operation {
        description: "Not in the envelope. With the ETag of an earlier reply in If-None-Match, 304 says that it is the same.",
        access: Access::Anybody,
        ..Operation::new("openapi", "Description", "This description", Reply::Description)
    }
}

//! The operations on applications, policies and groups, as the original calls them.

use hallpass_core::permission::Permission;
use hallpass_core::wire::codes::Code;

use super::parameters::{paging, text};
use super::{Access, Body, Operation, Reply};

const NO_APP: &[Code] = &[Code::AppNotFound];
const CLAIMED: &[Code] = &[Code::PatternTaken];
const NO_APP_OR_CLAIMED: &[Code] = &[Code::AppNotFound, Code::PatternTaken];
const ABSENT: &[Code] = &[Code::NotFound];
const ABSENT_OR_USED: &[Code] = &[Code::NotFound, Code::InvalidRequest];
const ABSENT_IN_APP: &[Code] = &[Code::AppNotFound, Code::NotFound];
const ABSENT_IN_APP_OR_REUSABLE: &[Code] = &[Code::AppNotFound, Code::NotFound, Code::InvalidRequest];
const APP: Reply = Reply::One("AccessApp");
const POLICY: Reply = Reply::One("AccessPolicy");
const GROUP: Reply = Reply::One("AccessGroup");

/// Through which path.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) enum Apps {
    /// An account's.
    OfAccount,
    /// A zone's.
    OfZone,
}

impl Apps {
    fn operation(
        self,
        name: &str,
        tags: [&'static str; 2],
        summary: &'static str,
        reply: Reply,
    ) -> Operation {
        let [of_account, of_zone] = tags;
        let (prefix, tag) = match self {
            Self::OfAccount => ("", of_account),
            Self::OfZone => ("zone-level-", of_zone),
        };
        Operation::new(format!("{prefix}access-{name}"), tag, summary, reply)
    }

    fn on_apps(self, name: &str, summary: &'static str, reply: Reply) -> Operation {
        let tags = ["Access applications", "Zone-Level Access applications"];
        self.operation(&format!("applications-{name}"), tags, summary, reply)
    }

    fn on_policies(self, name: &str, summary: &'static str, reply: Reply) -> Operation {
        let tags = ["Access application-scoped policies", "Zone-Level Access policies"];
        self.operation(&format!("policies-{name}"), tags, summary, reply)
    }

    fn on_groups(self, name: &str, summary: &'static str, reply: Reply) -> Operation {
        let tags = ["Access groups", "Zone-Level Access groups"];
        self.operation(&format!("groups-{name}"), tags, summary, reply)
    }

    fn see(self) -> Access {
        match self {
            Self::OfAccount => Access::Holder(Permission::APPS_READ),
            Self::OfZone => Access::HolderOfEither(Permission::APPS_READ, Permission::ZONE_APPS_READ),
        }
    }

    fn change(self) -> Access {
        match self {
            Self::OfAccount => Access::Holder(Permission::APPS_WRITE),
            Self::OfZone => Access::HolderOfEither(Permission::APPS_WRITE, Permission::ZONE_APPS_WRITE),
        }
    }

    pub(in crate::api) fn list(self) -> Operation {
        let mut query = paging();
        query.push(text("name", "All of the name."));
        query.push(text("domain", "All of a host and path that it protects."));
        query.push(text("aud", "The audience tag."));
        query.push(text("search", "A part of the name, the id or a host and path, in upper or lower case."));
        Operation {
            description: "Newest first.",
            access: self.see(),
            query,
            ..self.on_apps("list-access-applications", "List applications", Reply::Page("AccessApp"))
        }
    }

    pub(in crate::api) fn create(self) -> Operation {
        Operation {
            description: "domain, destinations and self_hosted_domains complete each other. A repeated create is refused: the \
                host and path then has an application.",
            access: self.change(),
            body: Body::Required("AccessAppDefinition"),
            status: 201,
            codes: CLAIMED,
            links: vec![("get", self.get().id), ("update", self.update().id), ("delete", self.delete().id)],
            ..self.on_apps("add-an-application", "Add an application", APP)
        }
    }

    pub(in crate::api) fn get(self) -> Operation {
        Operation {
            access: self.see(),
            codes: NO_APP,
            ..self.on_apps("get-an-access-application", "Get an application", APP)
        }
    }

    pub(in crate::api) fn update(self) -> Operation {
        Operation {
            description: "Replaces everything: what is not sent is gone. Its policies stay if policies is not sent.",
            access: self.change(),
            body: Body::Required("AccessAppDefinition"),
            codes: NO_APP_OR_CLAIMED,
            ..self.on_apps("update-an-access-application", "Update an application", APP)
        }
    }

    pub(in crate::api) fn delete(self) -> Operation {
        Operation {
            description: "Its own policies go with it; reusable ones stay.",
            access: self.change(),
            status: 202,
            codes: NO_APP,
            ..self.on_apps(
                "delete-an-access-application",
                "Delete an application",
                Reply::One("DeletedAccessObject"),
            )
        }
    }

    pub(in crate::api) fn revoke_tokens(self) -> Operation {
        Operation {
            description: "Assertions that were issued before are not used again.",
            access: Access::Holder(Permission::APP_SESSIONS_REVOKE),
            body: Body::Optional("Ignored"),
            status: 202,
            codes: NO_APP,
            ..self.on_apps("revoke-service-tokens", "Revoke an application's tokens", Reply::One("Nothing"))
        }
    }

    pub(in crate::api) fn list_policies(self) -> Operation {
        Operation {
            description: "By precedence; reusable ones that the application uses are among them.",
            access: self.see(),
            query: paging(),
            codes: NO_APP,
            ..self.on_policies(
                "list-access-app-policies",
                "List an application's policies",
                Reply::Page("AccessPolicy"),
            )
        }
    }

    pub(in crate::api) fn create_policy(self) -> Operation {
        Operation {
            description: "The policy belongs to the application and goes with it. Without a precedence it becomes the last.",
            access: self.change(),
            body: Body::Required("AccessPolicyDefinition"),
            status: 201,
            codes: NO_APP,
            links: vec![
                ("get", self.get_policy().id),
                ("update", self.update_policy().id),
                ("delete", self.delete_policy().id),
            ],
            ..self.on_policies("create-an-access-policy", "Create a policy of an application", POLICY)
        }
    }

    pub(in crate::api) fn get_policy(self) -> Operation {
        Operation {
            access: self.see(),
            codes: ABSENT_IN_APP,
            ..self.on_policies("get-an-access-policy", "Get a policy of an application", POLICY)
        }
    }

    pub(in crate::api) fn update_policy(self) -> Operation {
        Operation {
            description: "Replaces everything but the precedence, if none is sent. A reusable policy is refused here.",
            access: self.change(),
            body: Body::Required("AccessPolicyDefinition"),
            codes: ABSENT_IN_APP,
            ..self.on_policies("update-an-access-policy", "Update a policy of an application", POLICY)
        }
    }

    pub(in crate::api) fn delete_policy(self) -> Operation {
        Operation {
            description: "A reusable policy is refused here.",
            access: self.change(),
            status: 202,
            codes: ABSENT_IN_APP_OR_REUSABLE,
            ..self.on_policies(
                "delete-an-access-policy",
                "Delete a policy of an application",
                Reply::One("DeletedAccessObject"),
            )
        }
    }

    pub(in crate::api) fn list_groups(self) -> Operation {
        let mut query = paging();
        query.push(text("name", "All of the name."));
        query.push(text("search", "A part of the name or the id, in upper or lower case."));
        Operation {
            description: "Newest first.",
            access: Access::Holder(Permission::ORGANIZATIONS_READ),
            query,
            ..self.on_groups("list-access-groups", "List groups", Reply::Page("AccessGroup"))
        }
    }

    pub(in crate::api) fn create_group(self) -> Operation {
        Operation {
            access: Access::Holder(Permission::ORGANIZATIONS_WRITE),
            body: Body::Required("AccessGroupDefinition"),
            status: 201,
            links: vec![
                ("get", self.get_group().id),
                ("update", self.update_group().id),
                ("delete", self.delete_group().id),
            ],
            ..self.on_groups("create-an-access-group", "Create a group", GROUP)
        }
    }

    pub(in crate::api) fn get_group(self) -> Operation {
        Operation {
            access: Access::Holder(Permission::ORGANIZATIONS_READ),
            codes: ABSENT,
            ..self.on_groups("get-an-access-group", "Get a group", GROUP)
        }
    }

    pub(in crate::api) fn update_group(self) -> Operation {
        Operation {
            description: "Replaces everything. No group can be part of itself.",
            access: Access::Holder(Permission::ORGANIZATIONS_WRITE),
            body: Body::Required("AccessGroupDefinition"),
            codes: ABSENT,
            ..self.on_groups("update-an-access-group", "Update a group", GROUP)
        }
    }

    pub(in crate::api) fn delete_group(self) -> Operation {
        Operation {
            description: "Refused while a policy or another group refers to it.",
            access: Access::Holder(Permission::ORGANIZATIONS_WRITE),
            status: 202,
            codes: ABSENT_OR_USED,
            ..self.on_groups("delete-an-access-group", "Delete a group", Reply::One("DeletedAccessObject"))
        }
    }
}

fn on_reusable(name: &str, summary: &'static str, reply: Reply) -> Operation {
    Operation::new(format!("access-policies-{name}"), "Access reusable policies", summary, reply)
}

pub(in crate::api) fn make_reusable() -> Operation {
    let apps = Apps::OfAccount;
    Operation {
        description: "Other applications can use it from then on. One that is reusable already stays as it is.",
        access: apps.change(),
        body: Body::Optional("Ignored"),
        codes: ABSENT_IN_APP,
        ..apps.on_policies(
            "convert-reusable",
            "Convert a policy of an application to a reusable policy",
            POLICY,
        )
    }
}

pub(in crate::api) fn list_policies() -> Operation {
    let mut query = paging();
    query.push(text("name", "All of the name."));
    query.push(text("search", "A part of the name or the id, in upper or lower case."));
    Operation {
        description: "Newest first.",
        access: Access::Holder(Permission::APPS_READ),
        query,
        ..on_reusable("list-access-reusable-policies", "List reusable policies", Reply::Page("AccessPolicy"))
    }
}

pub(in crate::api) fn create_policy() -> Operation {
    Operation {
        access: Access::Holder(Permission::APPS_WRITE),
        body: Body::Required("AccessPolicyDefinition"),
        status: 201,
        links: vec![("get", get_policy().id), ("update", update_policy().id), ("delete", delete_policy().id)],
        ..on_reusable("create-an-access-reusable-policy", "Create a reusable policy", POLICY)
    }
}

pub(in crate::api) fn get_policy() -> Operation {
    Operation {
        access: Access::Holder(Permission::APPS_READ),
        codes: ABSENT,
        ..on_reusable("get-an-access-reusable-policy", "Get a reusable policy", POLICY)
    }
}

pub(in crate::api) fn update_policy() -> Operation {
    Operation {
        description: "Replaces everything, in every application that uses it.",
        access: Access::Holder(Permission::APPS_WRITE),
        body: Body::Required("AccessPolicyDefinition"),
        codes: ABSENT,
        ..on_reusable("update-an-access-reusable-policy", "Update a reusable policy", POLICY)
    }
}

pub(in crate::api) fn delete_policy() -> Operation {
    Operation {
        description: "Refused while an application uses it.",
        access: Access::Holder(Permission::APPS_WRITE),
        status: 202,
        codes: ABSENT_OR_USED,
        ..on_reusable(
            "delete-an-access-reusable-policy",
            "Delete a reusable policy",
            Reply::One("DeletedAccessObject"),
        )
    }
}

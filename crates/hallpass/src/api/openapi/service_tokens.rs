//! The operations on service tokens, as the original calls them; their last uses are ours.

use hallpass_core::permission::Permission;
use hallpass_core::wire::codes::Code;

use super::parameters::{paging, text};
use super::{Access, Body, Operation, Reply};

const READ: Access = Access::Holder(Permission::SERVICE_TOKENS_READ);
const WRITE: Access = Access::Holder(Permission::SERVICE_TOKENS_WRITE);
const ABSENT: &[Code] = &[Code::ServiceTokenNotFound];
const SHOWN: Reply = Reply::One("ServiceToken");
const WITH_SECRET: Reply = Reply::One("ServiceTokenWithSecret");

/// Through which path.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) enum ServiceTokens {
    /// An account's.
    OfAccount,
    /// A zone's.
    OfZone,
}

impl ServiceTokens {
    fn operation(self, name: &str, summary: &'static str, reply: Reply) -> Operation {
        let (prefix, tag) = match self {
            Self::OfAccount => ("", "Access service tokens"),
            Self::OfZone => ("zone-level-", "Zone-Level Access service tokens"),
        };
        Operation::new(format!("{prefix}access-service-tokens-{name}"), tag, summary, reply)
    }

    pub(in crate::api) fn list(self) -> Operation {
        let mut query = paging();
        query.push(text("name", "All of the name."));
        query.push(text("search", "A part of the name, the client ID or the id, in upper or lower case."));
        Operation {
            description: "Newest first.",
            access: READ,
            query,
            ..self.operation("list-service-tokens", "List service tokens", Reply::Page("ServiceToken"))
        }
    }

    pub(in crate::api) fn create(self) -> Operation {
        Operation {
            description: "The secret is in this reply, and never again. A repeated create makes a second token.",
            access: WRITE,
            body: Body::Required("NewServiceToken"),
            status: 201,
            links: vec![
                ("get", self.get().id),
                ("update", self.update().id),
                ("delete", self.delete().id),
                ("refresh", self.refresh().id),
                ("rotate", self.rotate().id),
            ],
            ..self.operation("create-a-service-token", "Create a service token", WITH_SECRET)
        }
    }

    pub(in crate::api) fn get(self) -> Operation {
        Operation {
            access: READ,
            codes: ABSENT,
            ..self.operation("get-a-service-token", "Get a service token", SHOWN)
        }
    }

    pub(in crate::api) fn last_uses(self) -> Operation {
        Operation {
            description: "For each application and each secret that it accepted: when that was last. The newest first; a few seconds late.",
            access: READ,
            query: paging(),
            codes: ABSENT,
            ..self.operation(
                "list-last-uses-of-a-service-token",
                "List the last uses of a service token",
                Reply::Page("ServiceTokenLastUse"),
            )
        }
    }

    pub(in crate::api) fn update(self) -> Operation {
        Operation {
            description: "What is not sent is kept. A higher client_secret_version rotates, and the reply then has the new secret.",
            access: WRITE,
            body: Body::Optional("ServiceTokenEdit"),
            codes: ABSENT,
            ..self.operation(
                "update-a-service-token",
                "Update a service token",
                Reply::One("ServiceTokenMaybeWithSecret"),
            )
        }
    }

    pub(in crate::api) fn delete(self) -> Operation {
        Operation {
            description: "Answers with the token as it was. Refused while a policy or a group refers to it.",
            access: WRITE,
            codes: &[Code::ServiceTokenNotFound, Code::ServiceTokenInUse],
            ..self.operation("delete-a-service-token", "Delete a service token", SHOWN)
        }
    }

    pub(in crate::api) fn refresh(self) -> Operation {
        Operation {
            description: "expires_at becomes the later of what it was and now plus the token's duration. The secret stays.",
            access: WRITE,
            body: Body::Optional("Ignored"),
            codes: ABSENT,
            ..self.operation("refresh-a-service-token", "Refresh a service token", SHOWN)
        }
    }

    pub(in crate::api) fn rotate(self) -> Operation {
        Operation {
            description: "A new secret, in this reply alone. The old one ends at once, or at previous_client_secret_expires_at.",
            access: WRITE,
            body: Body::Optional("Rotation"),
            codes: ABSENT,
            ..self.operation("rotate-a-service-token", "Rotate a service token", WITH_SECRET)
        }
    }
}

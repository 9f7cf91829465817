//! The operations on API tokens, as the original calls them.

use hallpass_core::permission::Permission;
use hallpass_core::wire::codes::Code;

use super::parameters::{direction, flag, paging, text};
use super::{Access, Body, Operation, Reply};

const ABSENT: &[Code] = &[Code::ApiTokenNotFound];

/// Whose tokens.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) enum ApiTokens {
    /// An account's.
    OfAccount,
    /// A user's.
    OfUser,
}

impl ApiTokens {
    fn operation(self, name: &str, summary: &'static str, reply: Reply) -> Operation {
        let (prefix, tag) = match self {
            Self::OfAccount => ("account", "Account API Tokens"),
            Self::OfUser => ("user", "User API Tokens"),
        };
        Operation::new(format!("{prefix}-api-tokens-{name}"), tag, summary, reply)
    }

    fn read(self) -> Access {
        Access::Holder(match self {
            Self::OfAccount => Permission::ACCOUNT_API_TOKENS_READ,
            Self::OfUser => Permission::USER_API_TOKENS_READ,
        })
    }

    fn write(self) -> Access {
        Access::Holder(match self {
            Self::OfAccount => Permission::ACCOUNT_API_TOKENS_WRITE,
            Self::OfUser => Permission::USER_API_TOKENS_WRITE,
        })
    }

    pub(in crate::api) fn list(self) -> Operation {
        let mut query = paging();
        query.push(direction());
        query.push(flag("include_expired", "Those that have expired, too."));
        Operation {
            description: "By time of issue. Those that have expired are left out, unless they are asked for.",
            access: self.read(),
            query,
            ..self.operation("list-tokens", "List API tokens", Reply::Page("ApiToken"))
        }
    }

    pub(in crate::api) fn create(self) -> Operation {
        Operation {
            description: "The value is in this reply, and never again. Nobody can give more than they hold.",
            access: self.write(),
            body: Body::Required("ApiTokenDefinition"),
            links: vec![
                ("get", self.get().id),
                ("update", self.update().id),
                ("delete", self.delete().id),
                ("roll", self.roll().id),
            ],
            ..self.operation("create-token", "Create an API token", Reply::One("ApiTokenWithValue"))
        }
    }

    pub(in crate::api) fn get(self) -> Operation {
        Operation {
            access: self.read(),
            codes: ABSENT,
            ..self.operation("token-details", "Get an API token", Reply::One("ApiToken"))
        }
    }

    pub(in crate::api) fn update(self) -> Operation {
        Operation {
            description: "Replaces all but the value, and the status if none is sent.",
            access: self.write(),
            body: Body::Required("ApiTokenDefinition"),
            codes: ABSENT,
            ..self.operation("update-token", "Update an API token", Reply::One("ApiToken"))
        }
    }

    pub(in crate::api) fn delete(self) -> Operation {
        Operation {
            access: self.write(),
            codes: ABSENT,
            ..self.operation("delete-token", "Delete an API token", Reply::One("DeletedApiToken"))
        }
    }

    pub(in crate::api) fn roll(self) -> Operation {
        Operation {
            description: "A new value, in this reply alone. The old one ends at once.",
            access: self.write(),
            body: Body::Optional("Ignored"),
            codes: ABSENT,
            ..self.operation("roll-token", "Roll an API token", Reply::One("Value"))
        }
    }

    pub(in crate::api) fn verify(self) -> Operation {
        Operation {
            description: "Says whether the token that the request shows can be used.",
            access: Access::Token,
            ..self.operation("verify-token", "Verify an API token", Reply::Remarked("Verification"))
        }
    }

    pub(in crate::api) fn permission_groups(self) -> Operation {
        let mut query = paging();
        query.push(text(
            "name",
            "A part of the name, in upper or lower case. Those called exactly so come first.",
        ));
        query.push(text("scope", "On what they act, such as com.cloudflare.api.account."));
        Operation {
            access: self.read(),
            query,
            ..self.operation(
                "list-permission-groups",
                "List permission groups",
                Reply::Page("PermissionGroup"),
            )
        }
    }
}

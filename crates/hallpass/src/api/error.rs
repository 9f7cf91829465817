//! Refusals: one variant for each thing that can be wrong, matched without a wildcard, each with its code (compatibility, D16).

use std::net::IpAddr;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hallpass_core::caller::Refused;
use hallpass_core::wire::body::InvalidField;
use hallpass_core::wire::codes::{self, Code};
use hallpass_core::wire::envelope::{ChainedError, Envelope, ErrorObject, Source};

use crate::store::error::{Refusal, StoreError, WriteError};

/// How many errors a reply lists at most: a body can hold far more than anybody reads.
const MOST_ERRORS: usize = 100;

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("Missing X-Auth-Key, X-Auth-Email or Authorization headers")]
    NoCredentials,
    #[error("Invalid request headers")]
    MalformedCredential(CredentialHeader),
    #[error("Unknown X-Auth-Key or X-Auth-Email")]
    UnknownKey,
    #[error("Invalid access token")]
    InvalidAccessToken,
    #[error("Cannot use the access token from location: {}", .0.map_or_else(|| "unknown".to_owned(), |from| from.to_string()))]
    WrongLocation(Option<IpAddr>),
    #[error("Invalid API Token")]
    InvalidApiToken,
    #[error("Authentication error")]
    NotAllowed,
    #[error("Could not route to {0}, perhaps your object identifier is invalid?")]
    NoRoute(String),
    #[error("Could not route to {0}, perhaps your object identifier is invalid?")]
    MalformedPathId(String),
    #[error("Method not allowed for this authentication scheme")]
    MethodNotAllowed,
    #[error("invalid request")]
    Invalid(Vec<InvalidField>),
    #[error("the body is larger than 1 MiB")]
    BodyTooLarge,
    #[error("access.api.error.service_token_not_found")]
    ServiceTokenNotFound,
    #[error("API token not found")]
    ApiTokenNotFound,
    #[error("access.api.error.unknown_application")]
    AppNotFound,
    #[error("access.api.error.not_found")]
    NotFound,
    #[error("access.api.error.application_already_exists: {0}")]
    PatternTaken(String),
    #[error("access.api.error.service_token_in_use: {0}")]
    ServiceTokenInUse(String),
    #[error("Please wait and consider throttling your request speed")]
    RateLimited { retry_after_seconds: u64 },
    #[error("{}", match .0 {
        StoreError::Unavailable(_) => "The store is unavailable, and nothing was changed: please try again",
        StoreError::UnknownOutcome(_) => "The store was lost while it wrote: look whether the change was made",
        StoreError::Corrupt(_) => "Internal error",
    })]
    Unavailable(StoreError),
    #[error("Internal error")]
    Internal(String),
    /// A failure of ours, of a request that may be sent again without harm although its route says otherwise.
    #[error(transparent)]
    SafeToRepeat(Box<ApiError>),
}

/// The header whose form is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialHeader {
    Authorization,
    Email,
    Key,
}

/// Marks a reply whose request may be sent again without harm.
#[derive(Debug, Clone, Copy)]
pub(super) struct MayBeRepeated;

/// Why a reply is our fault. The outermost layer logs it, once, beside the request's identifier.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Cause {
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl ApiError {
    /// One thing that is wrong with the request.
    pub(super) fn invalid(pointer: &str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![InvalidField { pointer: pointer.to_owned(), message: message.into() }])
    }

    /// Why it is our fault, for the log; the reply does not say.
    fn cause(&self) -> Option<Cause> {
        match self {
            Self::Unavailable(error) => Some(Cause::Store(error.clone())),
            Self::Internal(cause) => Some(Cause::Other(cause.clone())),
            Self::SafeToRepeat(error) => error.cause(),
            Self::NoCredentials
            | Self::MalformedCredential(_)
            | Self::UnknownKey
            | Self::InvalidAccessToken
            | Self::WrongLocation(_)
            | Self::InvalidApiToken
            | Self::NotAllowed
            | Self::NoRoute(_)
            | Self::MalformedPathId(_)
            | Self::MethodNotAllowed
            | Self::Invalid(_)
            | Self::BodyTooLarge
            | Self::ServiceTokenNotFound
            | Self::ApiTokenNotFound
            | Self::AppNotFound
            | Self::NotFound
            | Self::PatternTaken(_)
            | Self::ServiceTokenInUse(_)
            | Self::RateLimited { .. } => None,
        }
    }

    pub(super) fn safe_to_repeat(self) -> Self {
        Self::SafeToRepeat(Box::new(self))
    }

    fn code(&self) -> Code {
        match self {
            Self::NoCredentials => Code::NoCredentials,
            Self::MalformedCredential(_) => Code::InvalidHeaders,
            Self::UnknownKey => Code::UnknownKey,
            Self::InvalidAccessToken | Self::WrongLocation(_) => Code::InvalidAccessToken,
            Self::InvalidApiToken => Code::InvalidApiToken,
            Self::NotAllowed => Code::NotAllowed,
            Self::NoRoute(_) => Code::NoRoute,
            Self::MalformedPathId(_) => Code::MalformedPathId,
            Self::MethodNotAllowed => Code::MethodNotAllowed,
            Self::Invalid(_) => Code::InvalidRequest,
            Self::BodyTooLarge => Code::BodyTooLarge,
            Self::ServiceTokenNotFound => Code::ServiceTokenNotFound,
            Self::ApiTokenNotFound => Code::ApiTokenNotFound,
            Self::AppNotFound => Code::AppNotFound,
            Self::NotFound => Code::NotFound,
            Self::PatternTaken(_) => Code::PatternTaken,
            Self::ServiceTokenInUse(_) => Code::ServiceTokenInUse,
            Self::RateLimited { .. } => Code::RateLimited,
            Self::Unavailable(StoreError::Corrupt(_)) | Self::Internal(_) => Code::Internal,
            Self::Unavailable(StoreError::Unavailable(_) | StoreError::UnknownOutcome(_)) => {
                Code::Unavailable
            }
            Self::SafeToRepeat(error) => error.code(),
        }
    }

    fn objects(&self) -> Vec<ErrorObject> {
        let object = |message: String, pointer: Option<String>| ErrorObject {
            code: self.code().number(),
            message,
            documentation_url: Some(self.code().documentation_url()),
            source: pointer.map(|pointer| Source { pointer }),
            error_chain: Vec::new(),
        };
        let chained = |code, message: &str| {
            let chain = vec![ChainedError { code, message: message.to_owned() }];
            vec![ErrorObject { error_chain: chain, ..object(self.to_string(), None) }]
        };
        match self {
            Self::Invalid(fields) => {
                let of_field = |field: &InvalidField| {
                    object(
                        format!("access.api.error.invalid_request: {}", field.message),
                        Some(field.pointer.clone()),
                    )
                };
                fields.iter().take(MOST_ERRORS).map(of_field).collect()
            }
            Self::BodyTooLarge => vec![object(format!("access.api.error.invalid_request: {self}"), None)],
            Self::MalformedCredential(CredentialHeader::Authorization) => {
                chained(codes::MALFORMED_AUTHORIZATION, "Invalid format for Authorization header")
            }
            Self::MalformedCredential(CredentialHeader::Email) => {
                chained(codes::MALFORMED_EMAIL, "Invalid format for X-Auth-Email header")
            }
            Self::MalformedCredential(CredentialHeader::Key) => {
                chained(codes::MALFORMED_KEY, "Invalid format for X-Auth-Key header")
            }
            Self::NoRoute(_) => {
                let second = ErrorObject {
                    code: codes::NO_ROUTE_FOR_URI,
                    documentation_url: Some(codes::documentation_url(codes::NO_ROUTE_FOR_URI)),
                    ..object("No route for that URI".to_owned(), None)
                };
                vec![object(self.to_string(), None), second]
            }
            Self::SafeToRepeat(error) => error.objects(),
            Self::NoCredentials
            | Self::UnknownKey
            | Self::InvalidAccessToken
            | Self::WrongLocation(_)
            | Self::InvalidApiToken
            | Self::NotAllowed
            | Self::MalformedPathId(_)
            | Self::MethodNotAllowed
            | Self::ServiceTokenNotFound
            | Self::ApiTokenNotFound
            | Self::AppNotFound
            | Self::NotFound
            | Self::PatternTaken(_)
            | Self::ServiceTokenInUse(_)
            | Self::RateLimited { .. }
            | Self::Unavailable(_)
            | Self::Internal(_) => vec![object(self.to_string(), None)],
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = json(self.code().status(), &Envelope::<()>::failure(self.objects()));
        if let Some(cause) = self.cause() {
            response.extensions_mut().insert(cause);
        }
        if let Self::RateLimited { retry_after_seconds } = &self {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*retry_after_seconds));
        }
        if let Self::SafeToRepeat(_) = &self {
            response.extensions_mut().insert(MayBeRepeated);
        }
        response
    }
}

/// A reply with a JSON body.
pub(super) fn json<T: serde::Serialize, Info: serde::Serialize>(
    status: u16,
    body: &Envelope<T, Info>,
) -> Response {
    const CONTENT: (HeaderName, HeaderValue) =
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match (StatusCode::from_u16(status), serde_json::to_vec(body)) {
        (Ok(status), Ok(bytes)) => (status, [CONTENT], bytes).into_response(),
        // Neither can happen with the statuses and types of this crate.
        _ => (StatusCode::INTERNAL_SERVER_ERROR, [CONTENT], r#"{"success":false,"errors":[{"code":10001,"message":"Internal error"}],"messages":[],"result":null}"#)
            .into_response(),
    }
}

impl From<Refused> for ApiError {
    fn from(_: Refused) -> Self {
        Self::NotAllowed
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error)
    }
}

impl From<Vec<InvalidField>> for ApiError {
    fn from(fields: Vec<InvalidField>) -> Self {
        Self::Invalid(fields)
    }
}

impl ApiError {
    /// What a failed write means where `absent` says that the object is not there.
    pub(super) fn of_write(error: WriteError, absent: Self) -> Self {
        match error {
            WriteError::Refused(Refusal::Absent) => absent,
            WriteError::Refused(Refusal::Invalid(rule)) => {
                let pointer = match rule {
                    hallpass_core::service_token::Invalid::Duration(_) => "/duration",
                    hallpass_core::service_token::Invalid::SecretVersion => "/client_secret_version",
                };
                Self::invalid(pointer, rule.to_string())
            }
            WriteError::Refused(Refusal::Fields(fields)) => Self::Invalid(fields),
            WriteError::Refused(refusal @ Refusal::AuthDomainTaken) => {
                Self::invalid("/auth_domain", refusal.to_string())
            }
            WriteError::Refused(Refusal::Field(field)) => Self::Invalid(vec![field]),
            WriteError::Refused(Refusal::AbsentApp) => Self::AppNotFound,
            WriteError::Refused(Refusal::PatternTaken(what)) => Self::PatternTaken(what),
            WriteError::Refused(refusal @ Refusal::ServiceTokenInUse(_)) => {
                Self::ServiceTokenInUse(refusal.to_string())
            }
            WriteError::Refused(refusal @ Refusal::Quota(_)) => Self::invalid("", refusal.to_string()),
            // Identifiers are drawn from 122 bits or more, and a roll that lost a race is tried again: neither is the caller's fault.
            WriteError::Refused(refusal @ (Refusal::Conflict | Refusal::Changed)) => {
                Self::Unavailable(StoreError::Unavailable(refusal.to_string()))
            }
            WriteError::Store(error) => Self::Unavailable(error),
        }
    }
}

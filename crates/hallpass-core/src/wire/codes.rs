//! The numbers of errors (compatibility, D16). Each has a section in `docs/errors.md`.

/// An error's number, with its HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// Too many requests.
    RateLimited,
    /// The token shown to `verify` is not one that can be used.
    InvalidApiToken,
    /// A header with credentials is malformed.
    InvalidHeaders,
    /// There is no such route.
    NoRoute,
    /// An identifier in the path is malformed.
    MalformedPathId,
    /// The e-mail address and the key do not belong together.
    UnknownKey,
    /// No credentials, or half of a pair.
    NoCredentials,
    /// The API token cannot be used, or not from there.
    InvalidAccessToken,
    /// The caller may not do that.
    NotAllowed,
    /// The fault is ours.
    Internal,
    /// The store cannot answer now.
    Unavailable,
    /// The route does not know this method.
    MethodNotAllowed,
    /// The request says something that cannot be.
    InvalidRequest,
    /// The body is too large.
    BodyTooLarge,
    /// There is no such service token.
    ServiceTokenNotFound,
    /// There is no such API token.
    ApiTokenNotFound,
    /// There is no such application.
    AppNotFound,
    /// There is no such policy, or no such group.
    NotFound,
    /// Another application has this host and path.
    PatternTaken,
    /// A policy or a group refers to the service token.
    ServiceTokenInUse,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::RateLimited,
        Self::InvalidApiToken,
        Self::InvalidHeaders,
        Self::NoRoute,
        Self::MalformedPathId,
        Self::UnknownKey,
        Self::NoCredentials,
        Self::InvalidAccessToken,
        Self::NotAllowed,
        Self::Internal,
        Self::Unavailable,
        Self::MethodNotAllowed,
        Self::InvalidRequest,
        Self::BodyTooLarge,
        Self::ServiceTokenNotFound,
        Self::ApiTokenNotFound,
        Self::AppNotFound,
        Self::NotFound,
        Self::PatternTaken,
        Self::ServiceTokenInUse,
    ];

    /// The number in the body.
    pub fn number(self) -> u32 {
        match self {
            Self::RateLimited => 971,
            Self::InvalidApiToken => 1000,
            Self::ApiTokenNotFound => 1003,
            Self::InvalidHeaders => 6003,
            Self::NoRoute | Self::MalformedPathId => 7003,
            Self::UnknownKey => 9103,
            Self::NoCredentials => 9106,
            Self::InvalidAccessToken => 9109,
            Self::NotAllowed => 10000,
            Self::Internal | Self::Unavailable => 10001,
            Self::MethodNotAllowed => 10405,
            Self::AppNotFound => 11021,
            Self::InvalidRequest | Self::BodyTooLarge => 12130,
            Self::ServiceTokenNotFound | Self::NotFound => 12135,
            Self::PatternTaken => 12136,
            Self::ServiceTokenInUse => 12139,
        }
    }

    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidHeaders
            | Self::MalformedPathId
            | Self::NoCredentials
            | Self::InvalidRequest
            | Self::PatternTaken
            | Self::ServiceTokenInUse => 400,
            Self::InvalidApiToken => 401,
            Self::UnknownKey | Self::InvalidAccessToken | Self::NotAllowed => 403,
            Self::NoRoute
            | Self::ServiceTokenNotFound
            | Self::ApiTokenNotFound
            | Self::AppNotFound
            | Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::BodyTooLarge => 413,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    /// Where it is explained.
    pub fn documentation_url(self) -> String {
        documentation_url(self.number())
    }
}

/// Where a number is explained.
pub fn documentation_url(number: u32) -> String {
    format!("docs/errors.md#{number}")
}

/// The second half of an unknown route's error.
pub const NO_ROUTE_FOR_URI: u32 = 7000;
/// What a malformed `X-Auth-Email` is chained to.
pub const MALFORMED_EMAIL: u32 = 6102;
/// What a malformed `X-Auth-Key` is chained to.
pub const MALFORMED_KEY: u32 = 6103;
/// What a malformed `Authorization` is chained to.
pub const MALFORMED_AUTHORIZATION: u32 = 6111;
/// The remark of a successful `verify`.
pub const TOKEN_IS_ACTIVE: u32 = 10000;

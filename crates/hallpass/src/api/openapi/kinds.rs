//! Kinds of callers, bodies and replies, of which operations are described.

use hallpass_core::permission::Permission;

/// Who may call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Access {
    /// Anybody.
    Anybody,
    /// Whoever has a credential; they see what it reaches.
    Credential,
    /// Whoever shows the very token.
    Token,
    /// Whoever holds this.
    Holder(Permission),
    /// Whoever holds one of these.
    HolderOfEither(Permission, Permission),
}

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body {
    /// Nothing that anybody reads.
    None,
    /// JSON of this schema.
    Required(&'static str),
    /// JSON of this schema, or nothing.
    Optional(&'static str),
}

/// What a success shows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reply {
    /// One of these.
    One(&'static str),
    /// One of these, and a remark.
    Remarked(&'static str),
    /// A page of these, by number.
    Page(&'static str),
    /// A page of these, by cursor.
    Cursor(&'static str),
    /// This document.
    Description,
}

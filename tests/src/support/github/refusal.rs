//! Why somebody does not get to see something.

use serde_json::{Value, json};

use super::graphql::Found;
use super::wire::Reply;

/// Why a repository or a pull request is not shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// 404, or `NOT_FOUND`: what GitHub says of private things to those who may not know of them.
    NotFound,
    /// 403, or `FORBIDDEN`: the organisation wants the token to be authorised.
    Forbidden,
    /// 403, or `INSUFFICIENT_SCOPES`.
    InsufficientScopes,
    /// A cursor that was not given out; only in GraphQL, and only by the stand-in itself.
    InvalidCursor,
    /// Arguments that make no sense together; likewise.
    Unprocessable,
}

impl Refusal {
    /// GitHub's word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::NotFound => "NOT_FOUND",
            Self::Forbidden => "FORBIDDEN",
            Self::InsufficientScopes => "INSUFFICIENT_SCOPES",
            Self::InvalidCursor => "INVALID_CURSOR_ARGUMENTS",
            Self::Unprocessable => "UNPROCESSABLE",
        }
    }

    /// What is said of a thing that is refused, where nothing better is known.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::InsufficientScopes => {
                "Your token has not been granted the required scopes to execute this query. Please modify your token's \
                 scopes at: https://github.com/settings/tokens."
            }
            _ => {
                "Resource protected by organization SAML enforcement. You must grant your Personal Access token access \
                 to this organization."
            }
        }
    }

    /// The answer of REST.
    pub(super) fn reply(self) -> Reply {
        match self {
            Self::NotFound => Reply::refusal(404, "Not Found"),
            other => Reply::refusal(403, other.message()),
        }
    }

    /// What GraphQL finds instead of a thing: null, with an error.
    pub(super) fn found<'a>(self, kind: &str, whose: &str) -> Found<'a> {
        let message = match self {
            Self::NotFound => format!("Could not resolve to a {kind} with {whose}."),
            other => other.message().to_owned(),
        };
        Found::Refused(self, message)
    }

    /// An entry of `errors`.
    pub(super) fn error(self, path: &[Value], locations: &Value, message: &str) -> Value {
        let mut error =
            json!({"type": self.word(), "path": path, "locations": locations, "message": message});
        if self == Self::Forbidden {
            error["extensions"] = json!({"saml_failure": true});
        }
        error
    }
}

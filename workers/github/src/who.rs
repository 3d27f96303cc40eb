//! Whose a token is.

use std::time::Duration;

use http_body_util::BodyExt as _;
use octocrab::Octocrab;
use serde::Deserialize;

use crate::Token;
use crate::host::is_here;

/// Where GitHub itself is asked.
pub const API: &str = "https://api.github.com";

/// How long an answer may take.
const ASK: Duration = Duration::from_secs(5);

/// More than any answer about a user has.
const LONGEST: usize = 256 * 1024;

/// Whose a token is, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The user.
    pub login: String,
    /// What it may do, where the token has such a list: a fine-grained one has none.
    pub scopes: Option<String>,
}

/// It could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum WhoError {
    /// The address is neither https nor this machine's own: the token was sent nowhere.
    #[error("`{0}` is neither https nor on this machine: the token was not sent")]
    Address(String),
    /// GitHub does not take the token.
    #[error("the token was refused ({0})")]
    Refused(u16),
    /// Another answer than one about a user.
    #[error("GitHub answered {0}")]
    Status(u16),
    /// It could not be reached.
    #[error("`{api}` could not be reached")]
    Unreachable {
        /// Where.
        api: String,
        /// The library's words.
        #[source]
        source: Box<octocrab::Error>,
    },
    /// No answer in time.
    #[error("`{0}` did not answer within {within} s", within = ASK.as_secs())]
    Late(String),
    /// An answer that is not understood.
    #[error("the answer is not understood")]
    Answer,
}

#[derive(Deserialize)]
struct User {
    login: String,
}

/// Asks `api` whose `token` is. Dropping the future drops the question.
///
/// # Errors
/// When it cannot be asked, or says no.
pub async fn who(api: &str, token: &Token) -> Result<Who, WhoError> {
    if !api.starts_with("https://") && !is_here(api) {
        return Err(WhoError::Address(api.to_owned()));
    }
    let unreachable = |source| WhoError::Unreachable {
        api: api.to_owned(),
        source: Box::new(source),
    };
    let asked = async {
        let client = Octocrab::builder()
            .base_uri(api)
            .and_then(|builder| builder.personal_token(token.reveal().to_owned()).build())
            .map_err(unreachable)?;
        let answer = client._get("/user").await.map_err(unreachable)?;
        let (parts, body) = answer.into_parts();
        match parts.status.as_u16() {
            200..=299 => {}
            refused @ (401 | 403) => return Err(WhoError::Refused(refused)),
            other => return Err(WhoError::Status(other)),
        }
        let scopes = parts
            .headers
            .get("x-oauth-scopes")
            .and_then(|scopes| scopes.to_str().ok());
        let body = http_body_util::Limited::new(body, LONGEST).collect().await;
        let body = body.map_err(|_| WhoError::Answer)?.to_bytes();
        let user: User = serde_json::from_slice(&body).map_err(|_| WhoError::Answer)?;
        Ok(Who {
            login: user.login,
            scopes: scopes.map(str::to_owned),
        })
    };
    tokio::time::timeout(ASK, asked)
        .await
        .unwrap_or_else(|_| Err(WhoError::Late(api.to_owned())))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// Answers one request and gives what was asked.
    fn answering(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = format!("http://{}", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            let mut piece = [0; 4096];
            while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
                let count = stream.read(&mut piece).unwrap();
                asked.extend_from_slice(&piece[..count]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(asked).unwrap()
        });
        (api, asked)
    }

    async fn token() -> Token {
        Token::find("github.com", &[("GITHUB_TOKEN".to_owned(), "t0ken".to_owned())])
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_user_is_named_with_what_the_token_may_do() {
        let (api, asked) = answering(
            "HTTP/1.1 200 OK\r\nx-oauth-scopes: repo, read:org\r\ncontent-length: 21\r\n\r\n{\"login\": \"somebody\"}",
        );
        let who = who(&api, &token().await).await.unwrap();
        assert_eq!(
            (who.login.as_str(), who.scopes.as_deref()),
            ("somebody", Some("repo, read:org"))
        );
        let asked = asked.join().unwrap().to_lowercase();
        assert!(
            asked.starts_with("get /user http/1.1") && asked.contains("authorization: bearer t0ken"),
            "{asked}"
        );
    }

    #[tokio::test]
    async fn what_goes_wrong_is_told_apart() {
        let (api, _) = answering("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n{}");
        assert!(matches!(
            who(&api, &token().await).await,
            Err(WhoError::Refused(401))
        ));
        let (api, _) = answering("HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\n{}");
        assert!(matches!(
            who(&api, &token().await).await,
            Err(WhoError::Status(500))
        ));
        let (api, _) = answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]");
        assert!(matches!(who(&api, &token().await).await, Err(WhoError::Answer)));
        assert!(matches!(
            who("http://127.0.0.1:1", &token().await).await,
            Err(WhoError::Unreachable { .. })
        ));
        for elsewhere in [
            "http://api.github.com",
            "ftp://x",
            "http://127.0.0.1.example:80",
            "http://127.0.0.1:80@elsewhere",
        ] {
            assert!(
                matches!(who(elsewhere, &token().await).await, Err(WhoError::Address(_))),
                "{elsewhere}"
            );
        }
    }
}

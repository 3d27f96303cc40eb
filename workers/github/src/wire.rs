//! One question to a host, and its answer as it came.

use std::sync::Arc;
use std::time::Duration;

use ao_domain::port::forge::{QUESTION, Refusal};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes};
use hyper::header::{ACCEPT, HeaderMap, HeaderValue, IF_NONE_MATCH, LOCATION, USER_AGENT};
use hyper::{Response, Uri};
use octocrab::service::middleware::base_uri::BaseUriLayer;
use octocrab::service::middleware::extra_headers::ExtraHeadersLayer;
use octocrab::{AuthState, Octocrab, OctocrabBuilder};
use serde_json::Value;

use crate::host::{Host, is_here};
use crate::{Token, refusal};

/// The longest answer that is read. Fifty pull requests with a hundred checks each have a tenth of it.
const LONGEST: usize = 16 * 1024 * 1024;

/// How much of a log is read: what is looked for stands before.
const LONGEST_LOG: usize = 64 * 1024 * 1024;

/// How often an answer may send us elsewhere.
const REDIRECTS: usize = 3;

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A connection.
    pub connect: Duration,
    /// An answer.
    pub question: Duration,
    /// A log, which may be long.
    pub log: Duration,
}

impl Patience {
    /// What a forge far away may need.
    pub const USUAL: Self = Self {
        connect: Duration::from_secs(5),
        question: QUESTION,
        log: Duration::from_secs(60),
    };
}

/// An answer, whatever it says.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) heads: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answered {
    /// A header's value.
    pub(crate) fn head(&self, name: &str) -> Option<&str> {
        self.heads.get(name)?.to_str().ok()
    }

    /// The body, as JSON.
    pub(crate) fn json(&self) -> Result<Value, Refusal> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Refusal::NotUnderstood(format!("no JSON: {error}")))
    }

    /// Where the same is to be asked now, on the same host: a repository was given another name.
    fn moved_to(&self, origin: &str) -> Option<String> {
        let location = self.head(LOCATION.as_str())?;
        let path = location.strip_prefix(origin).unwrap_or(location);
        let is_path = path.starts_with('/') && !path.starts_with("//");
        (matches!(self.status, 301 | 307 | 308) && is_path).then(|| path.to_owned())
    }
}

/// Two ways to ask: the host with its token, anyone else without.
///
/// octocrab's own client would do but for its name, which it adds to ours: so it is put together here, from the same parts.
/// It follows no redirect, asks nothing twice and keeps no answers.
pub(crate) struct Wire {
    host: Host,
    with_token: Octocrab,
    without: Octocrab,
    patience: Patience,
}

impl Wire {
    /// A wire to `host`. Nothing is sent yet. Must be made where tasks can run.
    pub(crate) fn new(host: Host, token: &Token, patience: Patience) -> Result<Self, String> {
        let origin: Uri = host
            .origin
            .parse()
            .map_err(|_| format!("`{}` is not an address", host.origin))?;
        let tls = hyper_rustls::HttpsConnectorBuilder::new()
            .with_native_roots()
            .map_err(|error| format!("this machine's certificates cannot be read: {error}"))?
            .https_or_http() // what is not https is checked before: it is this machine's own
            .enable_http1()
            .build();
        // No timeout of reading: it would run while a connection is kept for the next question, and cut that one short.
        let connector = Octocrab::builder()
            .set_connect_timeout(Some(patience.connect))
            .set_connect_timeout_service(tls);
        let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
            .build(connector);
        let name = HeaderValue::from_static(concat!("ao/", env!("CARGO_PKG_VERSION")));
        let json = HeaderValue::from_static("application/vnd.github+json");
        let heads = ExtraHeadersLayer::new(Arc::new(vec![(USER_AGENT, name), (ACCEPT, json)]));
        let base = BaseUriLayer::new(origin);
        let build = |auth| {
            let built = OctocrabBuilder::new_empty()
                .with_service(client.clone())
                .with_layer(&base)
                .with_layer(&heads)
                .with_auth(auth)
                .build();
            match built {
                Ok(octocrab) => octocrab,
                Err(never) => match never {},
            }
        };
        let token = AuthState::AccessToken {
            token: token.reveal().to_owned().into(),
        };
        Ok(Self {
            with_token: build(token),
            without: build(AuthState::None),
            host,
            patience,
        })
    }

    /// The host's name.
    pub(crate) fn host(&self) -> &str {
        &self.host.name
    }

    /// Asks the REST API for `path`; with a `validator` only for what has changed since.
    pub(crate) async fn get(&self, path: &str, validator: Option<&str>) -> Result<Answered, Refusal> {
        let mut path = format!("{}{path}", self.host.rest);
        let asked = async {
            for _ in 0..=REDIRECTS {
                let mut heads = HeaderMap::new();
                if let Some(validator) = validator.and_then(|validator| validator.parse().ok()) {
                    heads.insert(IF_NONE_MATCH, validator);
                }
                // A path alone: octocrab sends the token with that, and with no address of another host.
                let answer = self
                    .with_token
                    ._get_with_headers(path.as_str(), Some(heads))
                    .await;
                let answered = whole(answer.map_err(|error| refusal::unreachable(&error))?).await?;
                match answered.moved_to(&self.host.origin) {
                    Some(next) => path = next,
                    None => return Ok(answered),
                }
            }
            Err(Refusal::NotUnderstood("it sends us on and on".to_owned()))
        };
        within(self.patience.question, asked).await
    }

    /// Asks the GraphQL API.
    pub(crate) async fn post(&self, question: &Value) -> Result<Answered, Refusal> {
        let asked = async {
            let answer = self
                .with_token
                ._post(self.host.graphql.as_str(), Some(question))
                .await;
            whole(answer.map_err(|error| refusal::unreachable(&error))?).await
        };
        within(self.patience.question, asked).await
    }

    /// Reads what lies at `location`, without the token: it is wherever the host keeps its logs.
    pub(crate) async fn download(&self, location: &str, mut piece: impl FnMut(&[u8])) -> Result<(), Refusal> {
        let mut location = location.to_owned();
        let asked = async {
            for _ in 0..=REDIRECTS {
                if !location.starts_with("https://") && !is_here(&location) {
                    return Err(Refusal::NotUnderstood("a log's address is not https".to_owned()));
                }
                let answer = self.without._get_with_headers(location.as_str(), None).await;
                let answer = answer.map_err(|error| refusal::unreachable(&error))?;
                let next = answer.headers().get(LOCATION).and_then(|next| next.to_str().ok());
                match (answer.status().as_u16(), next) {
                    (200, _) => return read(answer.into_body(), LONGEST_LOG, &mut piece).await.map(drop),
                    (301 | 302 | 303 | 307 | 308, Some(next)) => location = next.to_owned(),
                    // Whoever keeps logs for the host is not the host: what it says of us is nothing about our token or our budget.
                    _ => {
                        return Err(match refusal::of(&whole(answer).await?) {
                            Refusal::Token => Refusal::Forbidden("where its log lies".to_owned()),
                            Refusal::Limited { said, .. } => Refusal::Unreachable(said),
                            other => other,
                        });
                    }
                }
            }
            Err(Refusal::NotUnderstood("it sends us on and on".to_owned()))
        };
        within(self.patience.log, asked).await
    }
}

async fn within<T>(
    patience: Duration,
    asked: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    tokio::time::timeout(patience, asked)
        .await
        .unwrap_or_else(|_| Err(Refusal::Late(format!("none within {} s", patience.as_secs_f32()))))
}

/// An answer with its body.
async fn whole<B>(answer: Response<B>) -> Result<Answered, Refusal>
where
    B: Body<Data = Bytes, Error = octocrab::Error> + Unpin,
{
    let (parts, body) = answer.into_parts();
    let mut read_so_far = Vec::new();
    let is_whole = read(body, LONGEST, &mut |piece| read_so_far.extend_from_slice(piece)).await?;
    if !is_whole {
        return Err(Refusal::Late(format!("it is longer than {} MiB", LONGEST >> 20)));
    }
    Ok(Answered {
        status: parts.status.as_u16(),
        heads: parts.headers,
        body: read_so_far,
    })
}

/// Reads a body piece by piece, up to `most` bytes; gives whether that was all.
async fn read<B>(mut body: B, most: usize, piece: &mut impl FnMut(&[u8])) -> Result<bool, Refusal>
where
    B: Body<Data = Bytes, Error = octocrab::Error> + Unpin,
{
    let mut left = most;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| refusal::unreachable(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        piece(&data[..data.len().min(left)]);
        if data.len() > left {
            return Ok(false);
        }
        left -= data.len();
    }
    Ok(true)
}

#[cfg(test)]
mod tests;

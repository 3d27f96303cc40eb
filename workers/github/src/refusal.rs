//! What an answer says about the asking: why it is none, how much is left, and until when to wait.

use std::error::Error;
use std::time::Duration;

use ao_domain::Timestamp;
use ao_domain::foreign_text::in_line;
use ao_domain::port::forge::{Budget, Pool, Refusal};
use serde_json::Value;

use crate::wire::Answered;

/// How much of the host's own words is kept.
const SAID: usize = 300;

/// Why `answered`, which is no success, is no answer.
pub(crate) fn of(answered: &Answered) -> Refusal {
    let said = message(answered);
    match answered.status {
        401 => Refusal::Token,
        404 | 410 => Refusal::Gone,
        429 => limited(answered, said),
        403 if nothing_is_left(answered) || answered.head("retry-after").is_some() || is_limit(&said) => {
            limited(answered, said)
        }
        403 | 451 => Refusal::Forbidden(said),
        408 => Refusal::Late(said),
        500.. => Refusal::Unreachable(said),
        _ => Refusal::NotUnderstood(said),
    }
}

/// As [`of`], of a question about many at once: what is between us and GitHub's own answer gives up before it does.
pub(crate) fn of_batch(answered: &Answered) -> Refusal {
    match answered.status {
        // One of the many can be what it fails at: asked in smaller parts the others have their answer.
        500 | 502 | 504 => Refusal::Late(message(answered)),
        _ => of(answered),
    }
}

/// Too much was asked, in the host's words.
pub(crate) fn limited(answered: &Answered, said: String) -> Refusal {
    let reset = nothing_is_left(answered).then(|| reset(answered)).flatten();
    Refusal::Limited {
        until: retry_after(answered).max(reset),
        said,
    }
}

/// Whether a text says that too much was asked: GitHub has the same status for that and for what is forbidden.
pub(crate) fn is_limit(text: &str) -> bool {
    let text = text.to_lowercase();
    ["rate limit", "secondary rate", "abuse"]
        .iter()
        .any(|words| text.contains(words))
}

/// There was no answer at all. The last cause says most: the address may hold what is secret, and is not in it.
pub(crate) fn unreachable(error: &octocrab::Error) -> Refusal {
    let mut cause: &dyn Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    Refusal::Unreachable(in_line(&cause.to_string(), SAID))
}

/// What the headers say of what is left.
pub(crate) fn budget(answered: &Answered, pool: Pool) -> Option<Budget> {
    let number = |name| answered.head(name)?.trim().parse::<u64>().ok();
    let own = match pool {
        Pool::Batch => "graphql",
        Pool::Single => "core",
    };
    if answered
        .head("x-ratelimit-resource")
        .is_some_and(|resource| resource != own)
    {
        return None;
    }
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Some(Budget {
        pool,
        cost: u32::from(answered.status != 304),
        limit: small(number("x-ratelimit-limit")?),
        remaining: small(number("x-ratelimit-remaining")?),
        resets_at: reset(answered)?,
    })
}

/// What a host says, in one line: its message, else the beginning of what it sent.
fn message(answered: &Answered) -> String {
    let json: Option<Value> = serde_json::from_slice(&answered.body).ok();
    let message = json.as_ref().and_then(|json| json.get("message")?.as_str());
    let text = match message {
        Some(message) => message.to_owned(),
        None => String::from_utf8_lossy(&answered.body[..answered.body.len().min(4 * SAID)]).into_owned(),
    };
    in_line(
        format!("{}: {}", answered.status, text.trim()).trim_end_matches(": "),
        SAID,
    )
}

fn nothing_is_left(answered: &Answered) -> bool {
    answered.head("x-ratelimit-remaining").map(str::trim) == Some("0")
}

fn reset(answered: &Answered) -> Option<Timestamp> {
    let seconds: i64 = answered.head("x-ratelimit-reset")?.trim().parse().ok()?;
    Some(Timestamp::from_millis(seconds.saturating_mul(1000)))
}

/// Until when to wait: so many seconds after the host sent its answer, or an instant.
fn retry_after(answered: &Answered) -> Option<Timestamp> {
    let wait = answered.head("retry-after")?.trim();
    match wait.parse() {
        Ok(seconds) => Some(sent_at(answered).plus(Duration::from_secs(seconds))),
        Err(_) => instant(wait),
    }
}

/// When the host says that it sent its answer.
pub(crate) fn said_at(answered: &Answered) -> Option<Timestamp> {
    answered.head("date").and_then(instant)
}

/// When the host sent its answer: a host that does not say sent it just now.
pub(crate) fn sent_at(answered: &Answered) -> Timestamp {
    said_at(answered).unwrap_or_else(|| Timestamp::from_millis(jiff::Timestamp::now().as_millisecond()))
}

/// An instant as headers have it: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn instant(text: &str) -> Option<Timestamp> {
    let at = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Timestamp::from_millis(at.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, heads: &[(&str, &str)], body: &str) -> Answered {
        Answered {
            status,
            heads: heads
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect::<Vec<(hyper::header::HeaderName, hyper::header::HeaderValue)>>()
                .into_iter()
                .collect(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn limited_until(until: Option<&str>) -> impl Fn(&Refusal) -> bool {
        let until = until.map(|until| until.parse::<Timestamp>().unwrap());
        move |refusal| matches!(refusal, Refusal::Limited { until: said, .. } if *said == until)
    }

    #[test]
    fn too_much_is_told_from_not_allowed() {
        const DATE: (&str, &str) = ("date", "Wed, 24 Jun 2026 12:00:00 GMT");
        let secondary = r#"{"message": "You have exceeded a secondary rate limit."}"#;
        let limits = [
            (
                answered(
                    403,
                    &[
                        ("x-ratelimit-remaining", "0"),
                        ("x-ratelimit-reset", "1782302460"),
                    ],
                    "",
                ),
                Some("2026-06-24T12:01:00Z"),
            ),
            (
                answered(403, &[DATE, ("retry-after", "90")], ""),
                Some("2026-06-24T12:01:30Z"),
            ),
            (
                answered(429, &[("retry-after", "Wed, 24 Jun 2026 13:00:00 GMT")], ""),
                Some("2026-06-24T13:00:00Z"),
            ),
            (
                answered(403, &[("x-ratelimit-reset", "1782302460")], secondary),
                None,
            ),
            (answered(429, &[], ""), None),
        ];
        for (answered, until) in limits {
            let refusal = of(&answered);
            assert!(limited_until(until)(&refusal), "{answered:?}: {refusal:?}");
        }
        let both = answered(
            403,
            &[
                DATE,
                ("retry-after", "90"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "1"),
            ],
            "",
        );
        assert!(limited_until(Some("2026-06-24T12:01:30Z"))(&of(&both)));
        let said = r#"{"message": "Resource not accessible by personal access token"}"#;
        assert_eq!(
            of(&answered(403, &[("x-ratelimit-remaining", "12")], said)),
            Refusal::Forbidden("403: Resource not accessible by personal access token".to_owned())
        );
    }

    #[test]
    fn every_other_status_has_its_place() {
        let of_status = |status| of(&answered(status, &[], "<html>oh"));
        assert_eq!(of_status(401), Refusal::Token);
        assert_eq!(of_status(404), Refusal::Gone);
        assert_eq!(of_status(410), Refusal::Gone);
        assert_eq!(of_status(422), Refusal::NotUnderstood("422: <html>oh".to_owned()));
        assert_eq!(of_status(502), Refusal::Unreachable("502: <html>oh".to_owned()));
        assert_eq!(of_batch(&answered(502, &[], "")), Refusal::Late("502".to_owned()));
        assert_eq!(
            of_batch(&answered(503, &[], "")),
            Refusal::Unreachable("503".to_owned())
        );
    }

    #[test]
    fn a_wait_without_a_date_begins_now() {
        let before = jiff::Timestamp::now().as_millisecond();
        let Refusal::Limited {
            until: Some(until), ..
        } = of(&answered(429, &[("retry-after", "60")], ""))
        else {
            panic!("it is limited")
        };
        assert!(until.as_millis() >= before + 60_000 && until.as_millis() < before + 120_000);
    }

    #[test]
    fn what_is_left_is_read_or_nothing() {
        let heads = [
            ("x-ratelimit-limit", "5000"),
            ("x-ratelimit-remaining", "4999"),
            ("x-ratelimit-reset", "1782302400"),
            ("x-ratelimit-resource", "core"),
        ];
        let budget_of = |status, pool| budget(&answered(status, &heads, ""), pool);
        let left = budget_of(200, Pool::Single).unwrap();
        assert_eq!((left.cost, left.limit, left.remaining), (1, 5000, 4999));
        assert_eq!(left.resets_at.to_string(), "2026-06-24T12:00:00.000Z");
        assert_eq!(budget_of(304, Pool::Single).unwrap().cost, 0);
        assert_eq!(budget_of(200, Pool::Batch), None);
        assert_eq!(budget(&answered(200, &heads[1..], ""), Pool::Single), None);
    }
}

//! The answer to a question about many: each one's part by itself, so that a bad one harms no other.

use ao_domain::Timestamp;
use ao_domain::foreign_text::in_line;
use ao_domain::port::forge::{Answer, Budget, Pool, Refusal};
use serde_json::Value;

use crate::query::Question;
use crate::refusal;
use crate::wire::Answered;

/// Too much for one answer, by GitHub's words for it: less may be asked at once.
const TOO_MUCH: &[&str] = &["RESOURCE_LIMITS_EXCEEDED", "MAX_NODE_LIMIT_EXCEEDED", "TIMEOUT"];

/// The field that has the checks of a pull request.
const CHECKS: &str = "statusCheckRollup";

/// What could not be read of something that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unread {
    /// Whether it is of its checks.
    pub(crate) is_of_checks: bool,
    /// What, and why.
    pub(crate) why: String,
}

/// What each place of `question` says, as `read` understands it by its index. What could not be read of it is null there.
pub(crate) fn answers<T>(
    answered: Result<Answered, Refusal>,
    question: &Question,
    read: impl Fn(usize, Value, Option<Unread>) -> Result<T, Refusal>,
) -> Answer<Vec<Result<T, Refusal>>> {
    let answered = match answered {
        Ok(answered) => answered,
        Err(refusal) => {
            return Answer {
                said: Err(refusal),
                budget: None,
                sent_at: None,
            };
        }
    };
    let (in_heads, sent_at) = (
        refusal::budget(&answered, Pool::Batch),
        refusal::said_at(&answered),
    );
    if answered.status != 200 {
        return Answer {
            said: Err(refusal::of_batch(&answered)),
            budget: in_heads,
            sent_at,
        };
    }
    match answered.json() {
        Ok(envelope) => Answer {
            budget: budget(&envelope["data"]["rateLimit"]).or(in_heads),
            said: open(&answered, envelope, question, read),
            sent_at,
        },
        Err(refusal) => Answer {
            said: Err(refusal),
            budget: in_heads,
            sent_at,
        },
    }
}

fn open<T>(
    answered: &Answered,
    mut envelope: Value,
    question: &Question,
    read: impl Fn(usize, Value, Option<Unread>) -> Result<T, Refusal>,
) -> Result<Vec<Result<T, Refusal>>, Refusal> {
    let troubles: Vec<Trouble> = envelope["errors"]
        .as_array()
        .map(|errors| errors.iter().map(Trouble::read).collect())
        .unwrap_or_default();
    if let Some(limit) = troubles.iter().find(|trouble| trouble.is_limit()) {
        return Err(refusal::limited(answered, limit.said.clone()));
    }
    if let Some(much) = troubles.iter().find(|trouble| trouble.is_too_much()) {
        return Err(Refusal::Late(much.said.clone()));
    }
    let of_all = troubles.iter().find(|trouble| trouble.path.is_empty());
    let mut data = envelope.get_mut("data").map(Value::take).unwrap_or_default();
    if !data.is_object() && troubles.iter().all(|trouble| trouble.path.is_empty()) {
        return Err(of_all.map_or_else(
            || Refusal::NotUnderstood("it holds no data".to_owned()),
            Trouble::refusal,
        ));
    }
    let one = |(index, place): (usize, &Option<(String, String)>)| {
        let Some((repo, pr)) = place else {
            return Err(Refusal::Gone);
        };
        let about: Vec<&Trouble> = troubles
            .iter()
            .filter(|trouble| trouble.is_about(repo, pr))
            .collect();
        if let Some(trouble) = about.iter().find(|trouble| trouble.field().is_none()) {
            return Err(trouble.refusal());
        }
        // A part of it could not be read. Of several such, that of its checks is said: what follows from it is worse.
        let part_of_it = about
            .iter()
            .find(|trouble| trouble.field() == Some(CHECKS))
            .or(about.first());
        let part = data
            .get_mut(repo)
            .and_then(|repo| repo.get_mut(pr))
            .map(Value::take);
        match part.filter(|part| !part.is_null()) {
            Some(part) => read(index, part, part_of_it.and_then(|trouble| trouble.unread()))
                .map_err(|odd| part_of_it.map_or(odd, |trouble| trouble.refusal())),
            None => Err(part_of_it
                .copied()
                .or(of_all)
                .map_or(Refusal::Gone, Trouble::refusal)),
        }
    };
    Ok(question.places.iter().enumerate().map(one).collect())
}

/// An entry of `errors`.
struct Trouble {
    kind: String,
    path: Vec<String>,
    said: String,
}

impl Trouble {
    fn read(error: &Value) -> Self {
        let kind = [&error["type"], &error["extensions"]["code"]]
            .into_iter()
            .find_map(Value::as_str);
        let path = error["path"].as_array().map(Vec::as_slice).unwrap_or_default();
        Self {
            kind: kind.unwrap_or_default().to_uppercase(),
            path: path
                .iter()
                .map(|name| name.as_str().unwrap_or_default().to_owned())
                .collect(),
            said: in_line(error["message"].as_str().unwrap_or("it does not say why"), 300),
        }
    }

    /// Whether it stands in the way of `pr` in `repo`, or of all of `repo`.
    fn is_about(&self, repo: &str, pr: &str) -> bool {
        self.path.first().is_some_and(|first| first == repo)
            && self.path.get(1).is_none_or(|second| second == pr)
    }

    /// The field of a pull request that it is about; `None` where it is about the whole.
    fn field(&self) -> Option<&str> {
        self.path.get(2).map(String::as_str)
    }

    fn unread(&self) -> Option<Unread> {
        let field = self.field()?;
        let is_of_checks = field == CHECKS;
        let what = if is_of_checks { "checks" } else { field };
        Some(Unread {
            is_of_checks,
            why: format!("its {} could not be read: {}", in_line(what, 60), self.refusal()),
        })
    }

    fn is_limit(&self) -> bool {
        self.kind == "RATE_LIMITED" || (self.path.is_empty() && refusal::is_limit(&self.said))
    }

    fn is_too_much(&self) -> bool {
        let said = || self.said.to_lowercase();
        TOO_MUCH.contains(&self.kind.as_str())
            || (self.path.is_empty()
                && ["timeout", "timed out", "timedout"]
                    .iter()
                    .any(|words| said().contains(words)))
    }

    fn refusal(&self) -> Refusal {
        match self.kind.as_str() {
            "NOT_FOUND" => Refusal::Gone,
            "FORBIDDEN" | "INSUFFICIENT_SCOPES" => Refusal::Forbidden(self.said.clone()),
            _ => Refusal::NotUnderstood(self.said.clone()),
        }
    }
}

/// What an answer itself says of what is left; `None` where the host keeps no such account.
fn budget(said: &Value) -> Option<Budget> {
    let number = |name: &str| Some(u32::try_from(said[name].as_u64()?).unwrap_or(u32::MAX));
    Some(Budget {
        pool: Pool::Batch,
        cost: number("cost")?,
        limit: number("limit")?,
        remaining: number("remaining")?,
        resets_at: said["resetAt"].as_str()?.parse::<Timestamp>().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use ao_domain::{PrRef, RemoteRepo};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::query::Look;
    use crate::testing::any_json;

    /// Asks about two of one repository, one of another, and one that cannot be.
    fn question() -> Question {
        let pr = |path: &str, number| PrRef {
            repo: RemoteRepo::new("github.com", path),
            number,
        };
        let prs = [pr("a/b", 1), pr("a/b", 2), pr("c/d", 3), pr("c/d", u64::MAX)];
        Question::new("github.com", Look::Light, prs.iter().map(|pr| (pr, None)))
    }

    fn said(body: &Value) -> Answer<Vec<Result<u64, Refusal>>> {
        let Answer {
            said,
            budget,
            sent_at,
        } = said_with_unread(body);
        Answer {
            said: said.map(|each| each.into_iter().map(|one| Ok(one?.0)).collect()),
            budget,
            sent_at,
        }
    }

    /// A number, and what could not be read of it.
    type Read = (u64, Option<Unread>);

    fn said_with_unread(body: &Value) -> Answer<Vec<Result<Read, Refusal>>> {
        let answered = Answered {
            status: 200,
            heads: hyper::HeaderMap::default(),
            body: body.to_string().into_bytes(),
        };
        answers(Ok(answered), &question(), |index, part, unread| {
            match part.as_u64() {
                Some(number) => Ok((number, unread)),
                None => Err(Refusal::NotUnderstood(format!("{index}"))),
            }
        })
    }

    fn error(kind: &str, path: &[&str]) -> Value {
        json!({"type": kind, "path": path, "message": "why"})
    }

    #[test]
    fn a_bad_part_harms_no_other() {
        let whole = |errors: Vec<Value>, data: Value| said(&json!({"data": data, "errors": errors})).said;
        let why = || "why".to_owned();
        assert_eq!(
            whole(vec![], json!({"r0": {"p0": 5, "p1": "?"}, "r1": {"p2": 7}})),
            Ok(vec![
                Ok(5),
                Err(Refusal::NotUnderstood("1".to_owned())),
                Ok(7),
                Err(Refusal::Gone)
            ])
        );
        assert_eq!(
            whole(
                vec![error("NOT_FOUND", &["r0", "p1"]), error("FORBIDDEN", &["r1"])],
                json!({"r0": {"p0": 5, "p1": null}, "r1": null})
            ),
            Ok(vec![
                Ok(5),
                Err(Refusal::Gone),
                Err(Refusal::Forbidden(why())),
                Err(Refusal::Gone)
            ])
        );
        assert_eq!(
            whole(
                vec![
                    error("INSUFFICIENT_SCOPES", &["r0", "p0"]),
                    error("ODD", &["r0", "p1"])
                ],
                json!({"r0": {"p0": 5, "p1": 6}})
            ),
            Ok(vec![
                Err(Refusal::Forbidden(why())),
                Err(Refusal::NotUnderstood(why())),
                Err(Refusal::Gone),
                Err(Refusal::Gone)
            ])
        );
    }

    #[test]
    fn what_could_not_be_read_of_one_is_said_and_the_rest_is_read() {
        let each = |errors: Vec<Value>, data: Value| {
            let body = json!({"data": data, "errors": errors});
            said_with_unread(&body).said.unwrap()
        };
        let checks = || Unread {
            is_of_checks: true,
            why: "its checks could not be read: the token may not see it: why".to_owned(),
        };
        // GitHub names each check that a token may not see by its place.
        let each_check = |pr| {
            let node = |number| json!(["r0", pr, CHECKS, "contexts", "nodes", number]);
            let refused = |number: u8| json!({"type": "FORBIDDEN", "path": node(number), "message": "why"});
            vec![refused(0), refused(1)]
        };
        assert_eq!(
            each(each_check("p0"), json!({"r0": {"p0": 5, "p1": 6}}))[..2],
            [Ok((5, Some(checks()))), Ok((6, None))]
        );
        let mut several = vec![error("NOT_FOUND", &["r0", "p0", "headRepository"])];
        let other = each(several.clone(), json!({"r0": {"p0": 5, "p1": 6}})).remove(0);
        assert_eq!(
            other,
            Ok((
                5,
                Some(Unread {
                    is_of_checks: false,
                    why: "its headRepository could not be read: it is not there, or the token may not see it"
                        .to_owned(),
                })
            ))
        );
        several.extend(each_check("p0"));
        assert_eq!(
            each(several, json!({"r0": {"p0": 5}}))[0],
            Ok((5, Some(checks()))),
            "that of its checks counts"
        );
        // Without that part nothing is understood, or nothing is there.
        for part in [json!("?"), Value::Null] {
            assert_eq!(
                each(each_check("p0"), json!({"r0": {"p0": part}}))[0],
                Err(Refusal::Forbidden("why".to_owned()))
            );
        }
    }

    #[test]
    fn some_troubles_are_everybodys() {
        let whole = |body: Value| said(&body).said.unwrap_err();
        assert_eq!(
            whole(json!({"data": {"r0": null}, "errors": [error("RATE_LIMITED", &["r0"])]})),
            Refusal::Limited {
                until: None,
                said: "why".to_owned()
            }
        );
        let message = |text: &str| json!({"data": null, "errors": [{"message": text}]});
        assert!(matches!(
            whole(message("API rate limit already exceeded for user ID 1")),
            Refusal::Limited { .. }
        ));
        assert!(matches!(
            whole(message(
                "This may be the result of a timeout, or it could be a GitHub bug."
            )),
            Refusal::Late(_)
        ));
        assert!(matches!(
            whole(
                json!({"data": {"r0": {"p0": 1}}, "errors": [error("RESOURCE_LIMITS_EXCEEDED", &["r0", "p1"])]})
            ),
            Refusal::Late(_)
        ));
        assert_eq!(
            whole(message("Field 'x' doesn't exist")),
            Refusal::NotUnderstood("Field 'x' doesn't exist".to_owned())
        );
        assert!(matches!(whole(json!({})), Refusal::NotUnderstood(_)));
        assert!(matches!(whole(json!([1])), Refusal::NotUnderstood(_)));
    }

    #[test]
    fn what_is_left_stands_in_the_answer() {
        let limit = json!({"cost": 2, "limit": 5000, "remaining": 4990, "resetAt": "2026-06-24T12:00:00Z", "used": 10});
        let budget = said(&json!({"data": {"rateLimit": limit}})).budget.unwrap();
        assert_eq!((budget.cost, budget.limit, budget.remaining), (2, 5000, 4990));
        assert_eq!(budget.pool, Pool::Batch);
        assert_eq!(said(&json!({"data": {"rateLimit": null}})).budget, None);
    }

    proptest! {
        #[test]
        fn no_answer_is_too_odd(body in any_json("r0|r1|p0|p1|p2|data|errors|path|type|message|rateLimit|x")) {
            if let Ok(each) = said(&body).said {
                prop_assert_eq!(each.len(), 4);
            }
        }
    }
}

//! The REST interface.

use serde_json::{Value, json};

use super::check::CheckRun;
use super::pull::Entry;
use super::refusal::Refusal;
use super::state::{Repository, State, digits, time};
use super::wire::{Body, Heard, Reply, decoded};

/// The most entries of one page.
const PAGE: usize = 100;

/// Answers a request of a token that is known. `path` is without `/api/v3`; `here` and `logs` are where the two servers are.
pub(super) fn answer(state: &State, token: &str, heard: &Heard, path: &str, here: &str, logs: &str) -> Reply {
    let parts: Vec<String> = path.split('/').skip(1).map(decoded).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if heard.method != "GET" {
        return missing();
    }
    if parts == ["user"] {
        let login = &state.tokens[token].login;
        return Reply::json(200, &user(login));
    }
    let (name, rest) = match parts.as_slice() {
        ["repos", owner, name, rest @ ..] => (format!("{owner}/{name}"), rest),
        // Where the links between pages lead.
        ["repositories", id, rest @ ..] => {
            let mut known = state.repositories.values();
            match known.find(|repository| repository.id.to_string() == *id) {
                Some(repository) => (repository.name.clone(), rest),
                None => return missing(),
            }
        }
        _ => return missing(),
    };
    let repository = match state.sight(token, &name) {
        Ok(repository) => repository,
        Err(refusal) => return refusal.reply(),
    };
    let look = Look {
        repository,
        web: &state.web,
        here,
    };
    match rest {
        [] => Reply::json(200, &look.about()),
        ["pulls"] => look.pulls(heard),
        ["pulls", number] => {
            let entry = number
                .parse()
                .ok()
                .and_then(|number: u64| repository.pulls.get(&number));
            match entry {
                None => missing(),
                Some(Entry {
                    refused: Some(refusal),
                    ..
                }) => refusal.reply(),
                Some(entry) => Reply::json(200, &look.whole(entry)),
            }
        }
        ["actions", "jobs", id] => {
            let run = run(repository, id).filter(|run| run.is_job());
            run.map_or_else(missing, |run| Reply::json(200, &look.job(run)))
        }
        ["actions", "jobs", id, "logs"] => {
            let run = run(repository, id).filter(|run| run.is_job() && run.log.is_some());
            run.map_or_else(missing, |run| {
                let signed = format!("{logs}/logs/{}?sig={}", run.id, signature(run.id));
                Reply::of(302, "text/html;charset=utf-8", Body::Bytes(Vec::new())).with("location", &signed)
            })
        }
        ["check-runs", id] => {
            run(repository, id).map_or_else(missing, |run| Reply::json(200, &look.check_run(run)))
        }
        ["check-runs", id, "annotations"] => run(repository, id).map_or_else(missing, |run| {
            let all: Vec<Value> = run
                .annotations
                .iter()
                .map(super::check::Annotation::json)
                .collect();
            look.pages(heard, all)
        }),
        _ => missing(),
    }
}

/// What shows the log's host that GitHub sent the client there.
pub(super) fn signature(id: u64) -> String {
    digits(("log", id))
}

fn missing() -> Reply {
    Refusal::NotFound.reply()
}

fn run<'a>(repository: &'a Repository, id: &str) -> Option<&'a CheckRun> {
    let id: u64 = id.parse().ok()?;
    repository.runs.iter().find(|run: &&CheckRun| run.id == id)
}

fn user(login: &str) -> Value {
    let of = if login.ends_with("[bot]") { "Bot" } else { "User" };
    let id = digits(login).bytes().fold(0_u32, |id, byte| {
        id.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    json!({"login": login, "id": id, "type": of, "site_admin": false})
}

struct Look<'a> {
    repository: &'a Repository,
    web: &'a str,
    here: &'a str,
}

impl Look<'_> {
    fn pulls(&self, heard: &Heard) -> Reply {
        let text = |name: &str| heard.query(name).unwrap_or_default();
        let (state, head, base, sort) = (text("state"), text("head"), text("base"), text("sort"));
        if !["", "open", "closed", "all"].contains(&state.as_str()) {
            return Reply::refusal(422, "Validation Failed");
        }
        let fits = |entry: &&Entry| {
            let pull = &entry.pull;
            let home = pull.home.name(&self.repository.name).unwrap_or_default();
            let label = format!("{}:{}", home.split('/').next().unwrap_or_default(), pull.head);
            let in_state = match state.as_str() {
                "all" => true,
                "closed" => !entry.is_open(),
                _ => entry.is_open(),
            };
            // A head without an owner filters nothing, as on GitHub.
            in_state && (!head.contains(':') || head == label) && (base.is_empty() || base == pull.base)
        };
        let mut entries: Vec<&Entry> = self.repository.pulls.values().filter(fits).collect();
        entries.sort_by_key(|entry| match sort.as_str() {
            "updated" => (entry.updated_ms, entry.number),
            _ => (entry.created_ms, entry.number),
        });
        let falls = match text("direction").as_str() {
            "desc" => true,
            "asc" => false,
            _ => matches!(sort.as_str(), "" | "created"),
        };
        if falls {
            entries.reverse();
        }
        let all = entries.into_iter().map(|entry| self.brief(entry)).collect();
        self.pages(heard, all)
    }

    /// The page that was asked for, with where the others are.
    fn pages(&self, heard: &Heard, all: Vec<Value>) -> Reply {
        let number = |name: &str| heard.query(name).and_then(|text| text.parse::<usize>().ok());
        let size = number("per_page").unwrap_or(30).clamp(1, PAGE);
        let page = number("page").unwrap_or(1).max(1);
        let last = all.len().div_ceil(size).max(1);
        let entries: Vec<Value> = all.into_iter().skip((page - 1) * size).take(size).collect();
        let reply = Reply::json(200, &Value::Array(entries));
        let query = heard
            .target
            .split_once('?')
            .map(|(_, query)| query)
            .unwrap_or_default();
        let others: Vec<&str> = query
            .split('&')
            .filter(|pair| !pair.is_empty() && !pair.starts_with("page="))
            .collect();
        // `repos/owner/name` or `repositories/id` is before the rest.
        let under = if heard.path().contains("/repositories/") {
            2
        } else {
            3
        };
        let link = |to: usize, name: &str| {
            let mut query = others.join("&");
            if !query.is_empty() {
                query.push('&');
            }
            let rest = heard
                .path()
                .split('/')
                .skip_while(|part| *part != "repos" && *part != "repositories");
            let rest: String = rest.skip(under).map(|part| format!("/{part}")).collect();
            let id = self.repository.id;
            format!(
                "<{}/repositories/{id}{rest}?{query}page={to}>; rel=\"{name}\"",
                self.here
            )
        };
        let mut links = Vec::new();
        if page > 1 {
            links.push(link((page - 1).min(last), "prev"));
        }
        if page < last {
            links.push(link(page + 1, "next"));
            links.push(link(last, "last"));
        }
        if page > 1 {
            links.push(link(1, "first"));
        }
        if links.is_empty() {
            reply
        } else {
            reply.with("link", &links.join(", "))
        }
    }

    fn about(&self) -> Value {
        let mut value = self.named(&self.repository.name);
        value["id"] = json!(self.repository.id);
        value["default_branch"] = json!("main");
        value["archived"] = json!(false);
        value["fork"] = json!(false);
        value["permissions"] = json!({"admin": false, "push": true, "pull": true});
        value
    }

    fn named(&self, repository: &str) -> Value {
        let (owner, name) = repository.split_once('/').unwrap_or_default();
        json!({
            "name": name, "full_name": repository, "owner": user(owner), "private": true,
            "html_url": format!("{}/{repository}", self.web),
        })
    }

    fn side(&self, repository: Option<&str>, branch: &str, sha: &str) -> Value {
        let Some(repository) = repository else {
            return json!({"label": "unknown repository", "ref": branch, "sha": sha, "user": null, "repo": null});
        };
        let owner = repository.split('/').next().unwrap_or_default();
        json!({
            "label": format!("{owner}:{branch}"), "ref": branch, "sha": sha, "user": user(owner),
            "repo": self.named(repository),
        })
    }

    /// An entry of the list.
    fn brief(&self, entry: &Entry) -> Value {
        let pull = &entry.pull;
        let name = &self.repository.name;
        let head = pull.home.name(name);
        let api = format!("{}/repos/{name}/pulls/{}", self.here, entry.number);
        let mut value = json!({
            "id": self.repository.id + entry.number, "node_id": format!("PR_{}_{}", self.repository.id, entry.number),
            "url": api, "html_url": format!("{}/{name}/pull/{}", self.web, entry.number),
            "number": entry.number, "state": if entry.is_open() { "open" } else { "closed" },
            "title": pull.title, "draft": pull.draft, "locked": false, "user": user(&pull.author), "body": null,
            "created_at": time(entry.created_ms), "updated_at": time(entry.updated_ms),
            "closed_at": entry.closed_ms().map(time), "merged_at": entry.merged_ms().map(time),
            "merge_commit_sha": entry.is_merged().then(|| digits((name, entry.number))),
            "head": self.side(head, &pull.head, &pull.sha), "base": self.side(Some(name), &pull.base, &pull.base_sha),
        });
        for (key, place) in value.as_object_mut().into_iter().flatten() {
            if let Some(wrong) = entry.malformed(key) {
                *place = wrong;
            }
        }
        value
    }

    /// A single one, which has more.
    fn whole(&self, entry: &Entry) -> Value {
        let pull = &entry.pull;
        let mut value = self.brief(entry);
        value["merged"] = json!(entry.is_merged());
        value["mergeable"] = match pull.mergeable.as_str() {
            "MERGEABLE" if entry.is_open() => json!(true),
            "CONFLICTING" if entry.is_open() => json!(false),
            _ => Value::Null,
        };
        value["mergeable_state"] = json!(self.repository.merge_state(entry).to_lowercase());
        value["additions"] = json!(pull.additions);
        value["deletions"] = json!(pull.deletions);
        value["changed_files"] = json!(pull.changed_files);
        value["commits"] = json!(1);
        value["review_comments"] = json!(
            entry
                .threads
                .iter()
                .map(|thread| thread.comments.len())
                .sum::<usize>()
        );
        value
    }

    fn job(&self, run: &CheckRun) -> Value {
        let steps = run.steps.iter().zip(1..);
        let steps: Vec<Value> = steps
            .map(|(step, number)| {
                let status = if step.conclusion.is_some() {
                    "completed"
                } else {
                    "in_progress"
                };
                json!({
                    "name": step.name, "number": number, "status": status,
                    "conclusion": step.conclusion.as_ref().map(|word| word.to_lowercase()),
                    "started_at": step.started_ms.or(run.started_ms).map(time),
                    "completed_at": step.completed_ms.or(run.completed_ms).map(time),
                })
            })
            .collect();
        json!({
            "id": run.id, "run_id": run.suite, "run_attempt": run.attempt, "node_id": format!("CR_{}", run.id),
            "name": run.check.name, "workflow_name": run.check.workflow, "head_sha": run.sha,
            "status": run.status.to_lowercase(),
            "conclusion": run.conclusion.as_ref().map(|word| word.to_lowercase()),
            "started_at": run.started_ms.map(time), "completed_at": run.completed_ms.map(time),
            "html_url": run.details_url(self.web, &self.repository.name), "steps": steps,
            "check_run_url": format!("{}/repos/{}/check-runs/{}", self.here, self.repository.name, run.id),
        })
    }

    fn check_run(&self, run: &CheckRun) -> Value {
        let check = &run.check;
        let api = format!(
            "{}/repos/{}/check-runs/{}",
            self.here, self.repository.name, run.id
        );
        json!({
            "id": run.id, "node_id": format!("CR_{}", run.id), "name": check.name, "head_sha": run.sha, "url": api,
            "status": run.status.to_lowercase(),
            "conclusion": run.conclusion.as_ref().map(|word| word.to_lowercase()),
            "details_url": run.details_url(self.web, &self.repository.name),
            "html_url": format!("{}/{}/runs/{}", self.web, self.repository.name, run.id),
            "started_at": run.started_ms.map(time), "completed_at": run.completed_ms.map(time),
            "check_suite": {"id": run.suite}, "app": {"id": check.app_id(), "slug": check.app, "name": check.app_name()},
            "output": {"title": check.title, "summary": check.summary, "text": check.text,
                "annotations_count": run.annotations.len(), "annotations_url": format!("{api}/annotations")},
        })
    }
}

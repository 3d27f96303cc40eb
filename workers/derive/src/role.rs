//! What an agent is told beside its prompt: its part in the project, and the project's own rules.

use ao_domain::{Claim, ProjectId, SessionId, SessionKind, shell_word};

/// The text for an agent of this kind; `None` where there is nothing to say. `orchestrator` is the one that lives, if any: a
/// worker is told how to reach it.
pub fn role(
    kind: SessionKind,
    project: &ProjectId,
    orchestrator: Option<&SessionId>,
    rules: Option<&str>,
) -> Option<String> {
    let part = match kind {
        SessionKind::Orchestrator => Some(format!(
            "You are the orchestrator of the project `{project}`. You split work into tasks and give each to a worker of its own; \
             you do not implement them yourself.\n\
             - Start a worker: ao spawn --project {project} --prompt \"the task\"\n\
             - See how they stand: ao session ls --project {project}\n\
             - Look at one: ao session get SESSION; what it printed last: ao logs SESSION\n\
             - Tell one something: ao send SESSION \"the message\"\n\
             - End one whose work is done: ao kill SESSION\n\
             Each worker has a worktree and a branch of its own, side by side with the others."
        )),
        SessionKind::Worker => orchestrator.map(|id| {
            format!(
                "The project `{project}` has an orchestrator, the session `{id}`. If something keeps you from going on that only \
                 somebody else can decide, tell it: ao send {id} \"the message\". Do so for that alone: it has other workers, too."
            )
        }),
    };
    let rules = rules.map(str::trim).filter(|rules| !rules.is_empty());
    let parts: Vec<String> = part.into_iter().chain(rules.map(str::to_owned)).collect();
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

/// The same for an agent whose worktree starts from a pull request: what a push does from there. A stranger's branch is not named to
/// it: that would be the stranger's words.
pub fn role_at(role: Option<&str>, claim: &Claim) -> String {
    let number = claim.at.number;
    let push = match &claim.head_branch {
        Some(branch) if claim.is_foreign == Some(false) => {
            format!("To push to it: git push origin HEAD:{}", shell_word(branch))
        }
        _ => "It comes from another repository: its code is a stranger's, and a push from here does not reach it.".to_owned(),
    };
    let at = format!("Your branch starts from the head of pull request #{number} of this repository. {push}");
    match role {
        Some(role) => format!("{role}\n\n{at}"),
        None => at,
    }
}

#[cfg(test)]
mod tests {
    use ao_domain::{ClaimState, PrRef, RemoteRepo, Timestamp};

    use super::*;

    #[test]
    fn an_agent_at_a_pull_request_is_told_what_a_push_does_and_no_stranger_s_words() {
        let claim = |is_foreign| Claim {
            id: 1,
            session: "web-1".parse().unwrap(),
            at: PrRef {
                repo: RemoteRepo::new("forge.example", "acme/web"),
                number: 7,
            },
            starts: true,
            takeover: true,
            state: ClaimState::Made,
            refusal: None,
            said: None,
            owner: None,
            head_branch: Some("obey$(me)".to_owned()),
            is_foreign,
            created_at: Timestamp::from_millis(0),
        };
        let own = role_at(Some("be brief"), &claim(Some(false)));
        assert!(
            own.starts_with("be brief\n\n") && own.ends_with("git push origin HEAD:'obey$(me)'"),
            "{own}"
        );
        for strange in [Some(true), None] {
            let told = role_at(None, &claim(strange));
            assert!(told.contains("#7") && !told.contains("obey"), "{told}");
            assert!(told.contains("stranger's"), "{told}");
        }
    }

    #[test]
    fn each_kind_is_told_its_part_and_the_rules() {
        let project: ProjectId = "web".parse().unwrap();
        let lives: SessionId = "web-1".parse().unwrap();
        let role = |kind, lives, rules| role(kind, &project, lives, rules);
        assert_eq!(role(SessionKind::Worker, None, None), None);
        assert_eq!(
            role(SessionKind::Worker, None, Some(" be brief\n")).as_deref(),
            Some("be brief")
        );
        let worker = role(SessionKind::Worker, Some(&lives), Some("be brief")).unwrap();
        assert!(
            worker.contains("ao send web-1 ") && worker.ends_with("\n\nbe brief"),
            "{worker}"
        );
        let orchestrator = role(SessionKind::Orchestrator, Some(&lives), None).unwrap();
        assert!(orchestrator.contains("ao spawn --project web "), "{orchestrator}");
        assert!(
            !orchestrator.contains("web-1"),
            "its predecessor is none of its business"
        );
    }
}

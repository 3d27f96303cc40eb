//! What an agent is told beside its prompt: its part in the project, and the project's own rules.

use ao_domain::{ProjectId, SessionId, SessionKind};

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

#[cfg(test)]
mod tests {
    use super::*;

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

//! What a session's pull requests add to its status.

use ao_domain::{Ci, Mergeability, PrState, PrSummary, Review, Session};

use super::{Shown, Status};

/// What its pull requests add. They are never shown in the place of what an agent does, asks or nobody knows, but beside it; they
/// say what an agent waits for that has nothing to do, and how one ended that is over.
pub(super) fn added(session: &Session, shown: Shown) -> Shown {
    let merged = session
        .prs
        .iter()
        .filter(|pr| pr.state == PrState::Merged)
        .max_by_key(|pr| pr.changed_at);
    match (shown.status, aggregate(&session.prs), merged) {
        (Status::Terminated, _, Some(pr)) => Shown {
            status: Status::Merged,
            reason: format!("#{} was merged; {}", pr.number, shown.reason),
            ..shown
        },
        (Status::Idle, Some((pr, status)), _) => Shown {
            status,
            reason: format!("{}; {}", pr_in_words(pr, status), shown.reason),
            since: pr.changed_at,
            evidence: "forge",
            ..shown
        },
        (Status::Working | Status::NeedsInput, Some((pr, Status::CiFailed)), _) => Shown {
            reason: format!("{}; {}", shown.reason, pr_in_words(pr, Status::CiFailed)),
            ..shown
        },
        (Status::Idle, None, Some(pr)) => Shown {
            status: Status::Merged,
            reason: format!("#{} was merged; {}", pr.number, shown.reason),
            since: pr.changed_at,
            evidence: "forge",
            ..shown
        },
        _ => shown,
    }
}

/// The worst of a session's open pull requests. One that waits for another of the session's to be merged first (its base is that
/// one's branch) counts only where something is wrong with itself.
fn aggregate(prs: &[PrSummary]) -> Option<(&PrSummary, Status)> {
    let open: Vec<(&PrSummary, Status)> = prs
        .iter()
        .filter(|pr| pr.state.is_open())
        .map(|pr| (pr, status_of(pr)))
        .collect();
    let counts = |(pr, status): &&(&PrSummary, Status)| {
        let waits = open
            .iter()
            .any(|(other, _)| other.id != pr.id && other.head_branch == pr.base_branch);
        !waits
            || matches!(
                status,
                Status::CiFailed | Status::Draft | Status::ChangesRequested
            )
    };
    let worst = |(_, status): &&(&PrSummary, Status)| SEVERITY.iter().position(|known| known == status);
    let first = open.iter().filter(counts).min_by_key(worst);
    // In a circle each waits for another: then all count.
    first.or_else(|| open.iter().min_by_key(worst)).copied()
}

/// Worst first (the original's order).
const SEVERITY: [Status; 7] = [
    Status::CiFailed,
    Status::ChangesRequested,
    Status::Draft,
    Status::ReviewPending,
    Status::PrOpen,
    Status::Approved,
    Status::Mergeable,
];

fn status_of(pr: &PrSummary) -> Status {
    match (pr.ci, pr.state, pr.review, pr.mergeability) {
        (Ci::Failing, ..) => Status::CiFailed,
        (_, PrState::Draft, ..) => Status::Draft,
        (_, _, Review::ChangesRequested, _) => Status::ChangesRequested,
        (.., Mergeability::Mergeable) => Status::Mergeable,
        (_, _, Review::Approved, _) => Status::Approved,
        (_, _, Review::Required, _) => Status::ReviewPending,
        _ => Status::PrOpen,
    }
}

fn pr_in_words(pr: &PrSummary, status: Status) -> String {
    let number = pr.number;
    let stands = match status {
        Status::CiFailed if pr.failing.is_empty() => format!("checks of #{number} have failed"),
        Status::CiFailed => format!("#{number}: {} failed", pr.failing.join(", ")),
        Status::ChangesRequested => format!("a reviewer asks for changes in #{number}"),
        Status::Draft => format!("#{number} is a draft"),
        Status::ReviewPending => format!("#{number} waits for a reviewer"),
        Status::Approved => format!("#{number} is approved"),
        Status::Mergeable => format!("#{number} can be merged"),
        _ if pr.ci == Ci::Pending => format!("checks of #{number} run"),
        _ => format!("#{number} is open"),
    };
    match &pr.trouble {
        Some(trouble) => format!("{stands} (at the last look: {trouble})"),
        None => stands,
    }
}

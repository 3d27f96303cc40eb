//! How often a pull request, a list and a host are looked at. Pure: the same facts at the same instant give the same answer.

use std::time::Duration;

use ao_domain::{Ci, PrState, PullRequest, Timestamp};
use ao_facts::{GatewayState, PullWork, RepositoryState, SETTLES};

/// The shortest time between two looks at the same thing that nothing asked for. Everything else is a multiple of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tempo {
    /// One tick: `AO_FORGE_TICK`, 30 s where nobody says otherwise.
    pub tick: Duration,
}

impl Tempo {
    fn ticks(self, count: u32) -> Duration {
        self.tick * count
    }
}

/// What the forge still has for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// More than half: as often as is useful.
    Free,
    /// Less than half: half as often.
    Stretched,
    /// Less than a fifth: only what is hot, the others after then.
    HotOnly(Timestamp),
    /// Less than a twentieth: nothing before then.
    Paused(Timestamp),
}

/// Beyond that no host makes us wait: what says so was told by a clock that stood elsewhere.
pub const HORIZON: Duration = Duration::from_secs(2 * 60 * 60);

/// `until`, if it can be meant at `now`.
pub fn sensible(until: Timestamp, now: Timestamp) -> Option<Timestamp> {
    (until <= now.plus(HORIZON)).then_some(until)
}

/// What is left at `now` of the budget that looks are paid from.
pub fn allowance(gateway: Option<&GatewayState>, now: Timestamp) -> Allowance {
    let until = gateway.and_then(|gateway| sensible(gateway.batch.resets_at?, now));
    let (Some(gateway), Some(until)) = (gateway, until) else {
        return Allowance::Free;
    };
    match gateway.batch.left_percent(now) {
        0..5 => Allowance::Paused(until),
        5..20 => Allowance::HotOnly(until),
        20..50 => Allowance::Stretched,
        _ => Allowance::Free,
    }
}

/// How much is to be expected of a pull request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heat {
    /// Something has just changed, or is about to.
    Hot,
    /// Its agent works, or it changed within the hour.
    Warm,
    /// It waits for people.
    Cold,
    /// Its agent is over: facts only.
    Over,
}

/// How hot `pr` is. A change counts for twenty ticks, and two ticks of each six for an hour.
pub fn heat(pr: &PullRequest, work: PullWork, tempo: Tempo, now: Timestamp) -> Heat {
    let within = |ticks| now < pr.changed_at.plus(tempo.ticks(ticks));
    let runs = pr.ci == Ci::Pending || work.running > 0;
    if work.is_over {
        Heat::Over
    } else if within(20) || pr.facts.queued_to_merge || (runs && within(960)) {
        Heat::Hot // checks that ran for eight hours hang
    } else if pr.facts.state != PrState::Draft && (work.is_active || within(120)) {
        Heat::Warm
    } else {
        Heat::Cold
    }
}

/// When `pr`, which was looked at last as its row says or at `looked_at`, is to be looked at next without anything having asked for it.
/// Looks fall on a grid that all share: one question is then about many of them. What has to wait for the budget's next window is
/// looked at when that begins.
pub fn due(
    pr: &PullRequest,
    looked_at: Option<Timestamp>,
    heat: Heat,
    allowance: Allowance,
    phase: Duration,
    tempo: Tempo,
    now: Timestamp,
) -> Timestamp {
    // A look from the future was made before the clock was set back: it says nothing.
    let Some(read_at) = pr.read_at.max(looked_at).filter(|at| *at <= now) else {
        return pr.created_at.min(now);
    };
    let ticks = match heat {
        Heat::Hot => 1,
        Heat::Warm => 2,
        Heat::Cold => 10,
        Heat::Over => 20,
    };
    let stretched = if allowance == Allowance::Stretched { 2 } else { 1 };
    let pause = tempo.ticks((ticks * stretched).max(after_failures(pr.failures)));
    let usual = slot(read_at, pause, phase);
    match (allowance, heat) {
        (Allowance::Paused(until), _) | (Allowance::HotOnly(until), Heat::Warm | Heat::Cold | Heat::Over) => {
            usual.max(slot(until, tempo.tick, phase))
        }
        _ => usual,
    }
}

/// When a look that something asked for at `wake` is made: at once, but where little is left.
pub fn due_woken(wake: Timestamp, heat: Heat, allowance: Allowance) -> Option<Timestamp> {
    match (allowance, heat) {
        (Allowance::Paused(_), _) | (Allowance::HotOnly(_), Heat::Cold | Heat::Over) => None,
        _ => Some(wake.plus(SETTLES)),
    }
}

/// When the list of a repository is due; `None`: at once. An answer that nothing has changed costs nothing.
pub fn list_due(state: &RepositoryState, lives: bool, tempo: Tempo, now: Timestamp) -> Option<Timestamp> {
    let listed_at = state.listed_at.filter(|at| *at <= now)?; // else the clock was set back
    let pause = if lives { tempo.ticks(1) } else { tempo.ticks(10) };
    let pushed = state
        .pushed_at
        .filter(|at| *at >= listed_at)
        .map(|at| at.plus(SETTLES / 2)); // so that the looks it asks for see what it saw
    let usual = listed_at.plus(pause.max(tempo.ticks(after_failures(state.failures))));
    Some(pushed.map_or(usual, |soon| soon.min(usual)))
}

/// Ticks between looks that fail: doubled each time, up to twenty.
fn after_failures(failures: u32) -> u32 {
    match failures {
        0 => 0,
        1..=4 => 1 << failures,
        _ => 20,
    }
}

/// The first instant after `at` that lies on the grid of `pause`, shifted by `phase`.
fn slot(at: Timestamp, pause: Duration, phase: Duration) -> Timestamp {
    let (pause, phase) = (millis(pause).max(1), millis(phase));
    let passed = (at.as_millis() - phase).div_euclid(pause);
    Timestamp::from_millis((passed + 1) * pause + phase)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Where in its ticks a host is asked: the programs of this world are not to ask all at the same instant.
pub fn phase_of(host: &str, machine: u64, tempo: Tempo) -> Duration {
    // FNV-1a: it only has to differ from machine to machine.
    let hash = host
        .bytes()
        .chain(machine.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    Duration::from_millis(hash % u64::try_from(tempo.ticks(10).as_millis()).unwrap_or(1).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ao_facts::{Purse, TokenState};

    const TEMPO: Tempo = Tempo {
        tick: Duration::from_secs(30),
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn gateway(left: u32) -> GatewayState {
        let purse = Purse {
            limit: 5_000,
            left,
            ours: 0,
            resets_at: Some(at(3_600)),
        };
        GatewayState {
            host: "forge.example".to_owned(),
            source: None,
            token: TokenState::Accepted,
            batch: purse,
            single: purse,
            cool_until: None,
            trouble: None,
            answered_at: None,
        }
    }

    #[test]
    fn the_less_is_left_the_less_is_asked() {
        for (left, expected) in [
            (5_000, Allowance::Free),
            (2_500, Allowance::Free),
            (2_499, Allowance::Stretched),
            (1_000, Allowance::Stretched),
            (999, Allowance::HotOnly(at(3_600))),
            (250, Allowance::HotOnly(at(3_600))),
            (249, Allowance::Paused(at(3_600))),
            (0, Allowance::Paused(at(3_600))),
        ] {
            assert_eq!(allowance(Some(&gateway(left)), at(10)), expected, "{left}");
        }
        assert_eq!(
            allowance(Some(&gateway(0)), at(3_600)),
            Allowance::Free,
            "a new window"
        );
        assert_eq!(allowance(None, at(10)), Allowance::Free);
    }

    #[test]
    fn looks_fall_on_a_grid_that_all_share() {
        let pause = Duration::from_secs(300);
        let phase = Duration::from_secs(7);
        assert_eq!(slot(at(0), pause, phase), at(7));
        assert_eq!(slot(at(7), pause, phase), at(307));
        assert_eq!(slot(at(306), pause, phase), at(307));
        assert_eq!(slot(at(1_000), pause, phase), at(1_207));
    }

    fn pull(read_at: i64, failures: u32) -> PullRequest {
        let repo = ao_domain::RemoteRepo::new("forge.example", "acme/web");
        PullRequest {
            id: 1,
            session: "web-1".parse().unwrap(),
            facts: ao_domain::PrFacts {
                at: ao_domain::PrRef {
                    repo: repo.clone(),
                    number: 7,
                },
                url: String::new(),
                title: String::new(),
                author: String::new(),
                state: PrState::Open,
                head_branch: String::new(),
                head: String::new(),
                head_repo: Some(repo),
                base_branch: String::new(),
                base: String::new(),
                review: ao_domain::Review::None,
                mergeability: ao_domain::Mergeability::Unknown,
                queued_to_merge: false,
            },
            ci: Ci::Unknown,
            failing: Vec::new(),
            fingerprint: String::new(),
            detailed_at: None,
            read_at: Some(at(read_at)),
            changed_at: at(0),
            wake_at: None,
            followed: true,
            trouble: None,
            failures,
            created_at: at(0),
            updated_at: at(0),
        }
    }

    #[test]
    fn hot_ones_are_looked_at_each_tick_and_others_seldom_and_fewer_as_less_is_left() {
        let next = |heat, allowance, failures| {
            let due = due(
                &pull(1_200, failures),
                None,
                heat,
                allowance,
                Duration::ZERO,
                TEMPO,
                at(1_200),
            );
            due.as_millis() / 1_000
        };
        let all = [Heat::Hot, Heat::Warm, Heat::Cold, Heat::Over];
        assert_eq!(
            all.map(|heat| next(heat, Allowance::Free, 0)),
            [1_230, 1_260, 1_500, 1_800]
        );
        assert_eq!(
            all.map(|heat| next(heat, Allowance::Stretched, 0)),
            [1_260, 1_320, 1_800, 2_400]
        );
        // What has to wait for the next window is looked at when that begins, and not an hour later.
        let little = Allowance::HotOnly(at(1_330));
        assert_eq!(
            all.map(|heat| next(heat, little, 0)),
            [1_230, 1_350, 1_500, 1_800]
        );
        let nothing = Allowance::Paused(at(1_330));
        assert_eq!(
            all.map(|heat| next(heat, nothing, 0)),
            [1_350, 1_350, 1_500, 1_800]
        );
        assert_eq!(
            [1, 2, 4, 9].map(|failures| next(Heat::Hot, Allowance::Free, failures)),
            [1_260, 1_320, 1_440, 1_800]
        );
    }

    #[test]
    fn a_clock_that_was_set_back_stops_no_look() {
        let far = at(100_000);
        let next = due(
            &pull(100_000, 0),
            Some(far),
            Heat::Hot,
            Allowance::Free,
            Duration::ZERO,
            TEMPO,
            at(1_200),
        );
        assert_eq!(next, at(0), "at once");
        let mut known = gateway(0);
        known.batch.resets_at = Some(far);
        assert_eq!(
            allowance(Some(&known), at(1_200)),
            Allowance::Free,
            "no window is that long"
        );
        let state = RepositoryState {
            listed_at: Some(far),
            ..RepositoryState::default()
        };
        assert_eq!(list_due(&state, true, TEMPO, at(1_200)), None);
    }

    #[test]
    fn what_happened_here_is_looked_at_at_once_unless_little_is_left() {
        let paused = Allowance::Paused(at(100));
        assert_eq!(due_woken(at(10), Heat::Cold, Allowance::Free), Some(at(12)));
        assert_eq!(
            due_woken(at(10), Heat::Warm, Allowance::HotOnly(at(100))),
            Some(at(12))
        );
        assert_eq!(due_woken(at(10), Heat::Cold, Allowance::HotOnly(at(100))), None);
        assert_eq!(due_woken(at(10), Heat::Hot, paused), None);
    }

    #[test]
    fn a_list_is_due_each_tick_while_an_agent_lives_soon_after_a_push_and_less_often_when_it_fails() {
        let state = |failures, pushed: Option<i64>| RepositoryState {
            listed_at: Some(at(100)),
            pushed_at: pushed.map(at),
            failures,
            ..RepositoryState::default()
        };
        let due = |failures, pushed, lives| list_due(&state(failures, pushed), lives, TEMPO, at(120));
        assert_eq!(due(0, None, true), Some(at(130)));
        assert_eq!(due(0, None, false), Some(at(400)));
        assert_eq!(due(0, Some(110), true), Some(at(111)));
        assert_eq!(due(0, Some(99), true), Some(at(130)), "before the last list");
        assert_eq!(due(2, None, true), Some(at(220)));
        assert_eq!(due(9, None, true), Some(at(700)));
        assert_eq!(
            list_due(&RepositoryState::default(), true, TEMPO, at(120)),
            None,
            "never listed: at once"
        );
    }
}

//! How often a pull request, a list and a host are looked at. Pure: the same facts at the same instant give the same answer.

use std::time::Duration;

use ao_domain::{Ci, PrState, PullRequest, Timestamp};
use ao_facts::{GatewayState, PullWork, RepositoryState};

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
    /// Less than a fifth: only what is hot.
    HotOnly,
    /// Less than a twentieth: nothing before then.
    Paused(Timestamp),
}

/// What is left at `now` of the budget that looks are paid from.
pub fn allowance(gateway: Option<&GatewayState>, now: Timestamp) -> Allowance {
    let Some(gateway) = gateway else {
        return Allowance::Free;
    };
    match (gateway.batch.left_percent(now), gateway.batch.resets_at) {
        (0..5, Some(until)) => Allowance::Paused(until),
        (0..20, _) => Allowance::HotOnly,
        (20..50, _) => Allowance::Stretched,
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

/// How long a look is good for, at that heat.
fn pause(heat: Heat, allowance: Allowance, tempo: Tempo) -> Duration {
    let ticks = match heat {
        Heat::Hot => 1,
        Heat::Warm => 2,
        Heat::Cold => 10,
        Heat::Over => 20,
    };
    match (allowance, heat) {
        (Allowance::Free, _) | (Allowance::HotOnly, Heat::Hot) => tempo.ticks(ticks),
        (Allowance::Stretched, _) => tempo.ticks(ticks * 2),
        // Not for ever: should the end of the window be told wrongly, one look in an hour finds that out.
        (Allowance::HotOnly | Allowance::Paused(_), _) => tempo.ticks(120),
    }
}

/// When `pr`, which was looked at last as its row says or at `looked_at`, is to be looked at next without anything having asked for it. Looks fall on a grid that all share: one question is then
/// about many of them.
pub fn due(
    pr: &PullRequest,
    looked_at: Option<Timestamp>,
    heat: Heat,
    allowance: Allowance,
    phase: Duration,
    tempo: Tempo,
) -> Timestamp {
    let Some(read_at) = pr.read_at.max(looked_at) else {
        return pr.created_at;
    };
    let pause = pause(heat, allowance, tempo).max(tempo.ticks(after_failures(pr.failures)));
    let due = slot(read_at, pause, phase);
    match allowance {
        Allowance::Paused(until) => due.max(until),
        _ => due,
    }
}

/// When a look that something asked for at `wake` is made: at once, but where little is left.
pub fn due_woken(wake: Timestamp, heat: Heat, allowance: Allowance) -> Option<Timestamp> {
    /// What belongs together comes together: a push, the checks it starts, the end of the turn that made it.
    const SETTLES: Duration = Duration::from_secs(2);
    match (allowance, heat) {
        (Allowance::Paused(_), _) | (Allowance::HotOnly, Heat::Cold | Heat::Over) => None,
        _ => Some(wake.plus(SETTLES)),
    }
}

/// When the list of a repository is due. An answer that nothing has changed costs nothing.
pub fn list_due(state: &RepositoryState, lives: bool, tempo: Tempo) -> Option<Timestamp> {
    let listed_at = state.listed_at?;
    let pause = if lives { tempo.ticks(1) } else { tempo.ticks(10) };
    let pushed = state
        .pushed_at
        .filter(|at| *at >= listed_at)
        .map(|at| at.plus(Duration::from_secs(2)));
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
            (999, Allowance::HotOnly),
            (250, Allowance::HotOnly),
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

    #[test]
    fn hot_ones_are_looked_at_each_tick_and_others_seldom_and_fewer_as_less_is_left() {
        let every = |heat, allowance| pause(heat, allowance, TEMPO).as_secs();
        let all = [Heat::Hot, Heat::Warm, Heat::Cold, Heat::Over];
        assert_eq!(all.map(|heat| every(heat, Allowance::Free)), [30, 60, 300, 600]);
        assert_eq!(
            all.map(|heat| every(heat, Allowance::Stretched)),
            [60, 120, 600, 1_200]
        );
        assert_eq!(
            all.map(|heat| every(heat, Allowance::HotOnly)),
            [30, 3_600, 3_600, 3_600]
        );
    }

    #[test]
    fn what_happened_here_is_looked_at_at_once_unless_little_is_left() {
        let paused = Allowance::Paused(at(100));
        assert_eq!(due_woken(at(10), Heat::Cold, Allowance::Free), Some(at(12)));
        assert_eq!(due_woken(at(10), Heat::Warm, Allowance::HotOnly), Some(at(12)));
        assert_eq!(due_woken(at(10), Heat::Cold, Allowance::HotOnly), None);
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
        let due = |failures, pushed, lives| list_due(&state(failures, pushed), lives, TEMPO);
        assert_eq!(due(0, None, true), Some(at(130)));
        assert_eq!(due(0, None, false), Some(at(400)));
        assert_eq!(due(0, Some(110), true), Some(at(112)));
        assert_eq!(due(0, Some(99), true), Some(at(130)), "before the last list");
        assert_eq!(due(2, None, true), Some(at(220)));
        assert_eq!(due(9, None, true), Some(at(700)));
        assert_eq!(
            list_due(&RepositoryState::default(), true, TEMPO),
            None,
            "never listed: at once"
        );
    }
}

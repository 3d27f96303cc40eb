//! A supervisor whose children come and go, with pauses between restarts: keys instead of places, nothing kept of a child that is
//! over, a limit of how many there may be.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ao_supervisor::testing::{Actor, Init, Log, Say, settle};
use ao_supervisor::{Backoff, Budget, ChildRef, Dynamic, DynamicRef, Restart, Root, Strategy, Supervisor};

use tokio::runtime::Handle;

use crate::{COMMANDS, Dice, IDS, Seen, agreed, in_real_time, on_a_paused_clock, word};

/// What all times are multiples of. In real time no pause is over, and no restart leaves the window, before the sequence is.
fn unit(in_real_time: bool) -> Duration {
    Duration::from_secs(if in_real_time { 1_000 } else { 1 })
}

/// The window, in units.
const PERIOD: u32 = 10;

fn pauses(unit: Duration) -> Backoff {
    Backoff {
        immediate: 1,
        min: unit,
        max: 3 * unit,
        factor: 2.0,
        jitter: 0.0,
        reset_after: 5 * unit,
    }
}

#[derive(Clone, Debug)]
enum Command {
    Start(&'static str, Restart),
    Terminate(&'static str),
    Crash(&'static str),
    Done(&'static str),
    Inits(&'static str, Vec<Init>),
    Pass(Duration),
}

struct Sequence {
    intensity: u32,
    most: usize,
    commands: Vec<Command>,
}

impl Sequence {
    fn of(seed: u64) -> Sequence {
        let mut dice = Dice(seed);
        let kinds = [Restart::Permanent, Restart::Transient, Restart::Temporary];
        let intensity = u32::try_from(dice.below(6)).unwrap();
        let most = 2 + usize::try_from(dice.below(4)).unwrap();
        let commands = (0..COMMANDS)
            .map(|_| {
                let id = dice.one_of(&IDS);
                match dice.below(12) {
                    0..=3 => Command::Start(id, dice.one_of(&kinds)),
                    4 => Command::Terminate(id),
                    5..=7 => Command::Crash(id),
                    8 => Command::Done(id),
                    9 => Command::Inits(
                        id,
                        (0..1 + dice.below(3))
                            .map(|_| dice.one_of(&[Init::Fail, Init::Fail, Init::Ignore]))
                            .collect(),
                    ),
                    _ => Command::Pass(Duration::from_millis(dice.below(6_000))),
                }
            })
            .collect();
        Sequence {
            intensity,
            most,
            commands,
        }
    }
}

#[derive(Clone, Copy)]
enum State {
    Up { since: Duration },
    Waits { until: Duration },
}

struct Kept {
    restart: Restart,
    state: State,
    /// Restarts in a row.
    tries: u32,
    /// Of pauses that are over at one instant the lower slot's comes first; the slot that was given back last is used first.
    slot: u32,
}

impl Kept {
    fn gone(&self, id: &str) -> Option<String> {
        matches!(self.state, State::Up { .. }).then(|| format!("{id} down"))
    }
}

struct Model {
    unit: Duration,
    intensity: u32,
    most: usize,
    children: BTreeMap<&'static str, Kept>,
    inits: BTreeMap<&'static str, VecDeque<Init>>,
    now: Duration,
    restarts: Vec<Duration>,
    alive: bool,
    /// Who came up and went down.
    log: Vec<String>,
    slots: u32,
    free: Vec<u32>,
}

impl Model {
    fn slot(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        })
    }

    fn remove(&mut self, id: &str) -> Option<Kept> {
        let gone = self.children.remove(id)?;
        self.free.push(gone.slot);
        Some(gone)
    }

    fn next_init(&mut self, id: &'static str) -> Option<Init> {
        self.inits.entry(id).or_default().pop_front()
    }

    fn step(&mut self, command: &Command) -> &'static str {
        match command {
            Command::Inits(id, inits) => {
                self.inits.entry(*id).or_default().extend(inits);
                "-"
            }
            Command::Pass(time) => {
                self.pass(self.now + *time);
                "-"
            }
            Command::Crash(_) | Command::Done(_) if !self.alive => "-",
            _ if !self.alive => "NoSupervisor",
            Command::Start(id, restart) => match self.children.get(id).map(|kept| kept.state) {
                Some(State::Up { .. }) => "AlreadyStarted",
                Some(State::Waits { .. }) => "AlreadyPresent",
                None if self.children.len() >= self.most => "MaxChildren",
                None => match (self.slot(), self.next_init(id)) {
                    (slot, Some(init)) => {
                        self.free.push(slot);
                        if init == Init::Ignore { "ok" } else { "NotStarted" }
                    }
                    (slot, None) => {
                        self.log.push(format!("{id} up"));
                        let state = State::Up { since: self.now };
                        let (restart, tries) = (*restart, 0);
                        self.children.insert(
                            *id,
                            Kept {
                                restart,
                                state,
                                tries,
                                slot,
                            },
                        );
                        "ok"
                    }
                },
            },
            Command::Terminate(id) => match self.remove(id) {
                Some(kept) => {
                    self.log.extend(kept.gone(id));
                    "ok"
                }
                None => "NotFound",
            },
            Command::Crash(id) | Command::Done(id) => {
                let crashed = matches!(command, Command::Crash(_));
                if let Some(Kept {
                    restart,
                    state: State::Up { since },
                    ..
                }) = self.children.get(id)
                {
                    let (restart, uptime) = (*restart, self.now - *since);
                    self.log.push(format!("{id} down"));
                    match restart {
                        Restart::Permanent => self.restart(id, uptime),
                        Restart::Transient if crashed => self.restart(id, uptime),
                        _ => drop(self.remove(id)),
                    }
                }
                "-"
            }
        }
    }

    fn pass(&mut self, end: Duration) {
        loop {
            let due = |kept: &Kept| match kept.state {
                State::Waits { until } => Some(until),
                State::Up { .. } => None,
            };
            let next = self.children.values().filter_map(due).min();
            let Some(at) = next.filter(|at| *at <= end && self.alive) else {
                break;
            };
            self.now = at;
            // Whose pauses are over at one instant are all launched before the first of them can have failed.
            let mut all: Vec<(u32, &'static str)> = self
                .children
                .iter()
                .filter(|(_, kept)| due(kept) == Some(at))
                .map(|(id, kept)| (kept.slot, *id))
                .collect();
            all.sort_unstable();
            let launched: Vec<_> = all.iter().map(|(_, id)| (*id, self.next_init(id))).collect();
            for (id, init) in launched {
                self.attempted(id, init);
            }
        }
        self.now = end;
    }

    fn attempted(&mut self, id: &'static str, init: Option<Init>) {
        match init {
            None if !self.alive => self.log.extend([format!("{id} up"), format!("{id} down")]),
            _ if !self.alive => {}
            None => {
                self.log.push(format!("{id} up"));
                self.children.get_mut(id).unwrap().state = State::Up { since: self.now };
            }
            Some(Init::Ignore) => drop(self.remove(id)),
            Some(_) => self.restart(id, Duration::ZERO),
        }
    }

    fn restart(&mut self, id: &'static str, uptime: Duration) {
        let now = self.now;
        self.restarts.retain(|then| now - *then <= PERIOD * self.unit);
        self.restarts.push(now);
        if self.restarts.len() > self.intensity as usize {
            self.alive = false;
            let others = self.children.iter().filter(|(other, _)| **other != id);
            self.log.extend(others.filter_map(|(id, kept)| kept.gone(id)));
            return;
        }
        let kept = self.children.get_mut(id).unwrap();
        if uptime >= 5 * self.unit {
            kept.tries = 0;
        }
        // One at once, then 1, 2, 3, 3, 3 ... units.
        let pause = kept.tries.min(3) * self.unit;
        kept.tries += 1;
        kept.state = State::Waits { until: now + pause };
        if pause.is_zero() {
            let init = self.next_init(id);
            self.attempted(id, init);
        }
    }
}

impl Seen for Model {
    /// `id`, or `id?` for one that waits to be started again.
    fn shown(&self) -> Vec<String> {
        if !self.alive {
            return vec!["over".to_owned()];
        }
        let mark = |kept: &Kept| {
            if matches!(kept.state, State::Up { .. }) {
                ""
            } else {
                "?"
            }
        };
        self.children
            .iter()
            .map(|(id, kept)| format!("{id}{}", mark(kept)))
            .collect()
    }
}

type Args = (Actor, Restart);

struct Real {
    root: Root,
    orders: DynamicRef<Args>,
    log: Log,
    actors: BTreeMap<&'static str, Actor>,
}

impl Real {
    async fn of(sequence: &Sequence, apart: Option<Handle>) -> Real {
        let log = Log::new();
        let actors = IDS.iter().map(|id| (*id, Actor::new(id, &log))).collect();
        let unit = unit(apart.is_some());
        let budget = Budget::restarts(sequence.intensity).per(PERIOD * unit);
        let pool = Dynamic::new("pool", budget, move |_: &str, (actor, restart): Args| {
            actor.spec().restart(restart).backoff(pauses(unit))
        })
        .max_children(sequence.most)
        .restart(Restart::Temporary);
        let orders = pool.handle();
        let none = Budget::restarts(0).per(unit);
        let top = Supervisor::root("top", Strategy::OneForOne, none).child(pool);
        let root = match apart {
            None => top.start().await.unwrap(),
            Some(children) => top.start_apart(children).await.unwrap(),
        };
        Real {
            root,
            orders,
            log,
            actors,
        }
    }

    fn child(&self, id: &str) -> Option<ChildRef> {
        let all = self.orders.which_children().ok()?;
        all.into_iter().find(|info| info.id == id)?.child
    }

    async fn step(&self, command: &Command) -> &'static str {
        match command {
            Command::Start(id, restart) => {
                let args = (self.actors[id].clone(), *restart);
                word(&self.orders.start_child(id, args).await)
            }
            Command::Terminate(id) => word(&self.orders.terminate_child(id).await),
            Command::Crash(id) | Command::Done(id) => {
                let crashed = matches!(command, Command::Crash(_));
                self.actors[id].say(if crashed { Say::Crash } else { Say::Normal });
                "-"
            }
            Command::Inits(id, inits) => {
                self.actors[id].inits(inits);
                "-"
            }
            Command::Pass(time) => {
                tokio::time::sleep(*time).await;
                "-"
            }
        }
    }
}

impl Seen for Real {
    fn shown(&self) -> Vec<String> {
        let Ok(children) = self.orders.which_children() else {
            return vec!["over".to_owned()];
        };
        let mut shown: Vec<String> = children
            .into_iter()
            .map(|info| {
                let mark = match (info.child.is_some(), info.restarting) {
                    (true, _) => "",
                    (false, true) => "?",
                    (false, false) => "!",
                };
                format!("{}{mark}", info.id)
            })
            .collect();
        shown.sort_unstable();
        shown
    }
}

async fn compare(seed: u64, apart: Option<Handle>) {
    let sequence = Sequence::of(seed);
    let in_real_time = apart.is_some();
    let real = Real::of(&sequence, apart).await;
    let tree = real.root.tree();
    let mut model = Model {
        unit: unit(in_real_time),
        intensity: sequence.intensity,
        most: sequence.most,
        children: BTreeMap::new(),
        inits: BTreeMap::new(),
        now: Duration::ZERO,
        restarts: Vec::new(),
        alive: true,
        log: Vec::new(),
        slots: 0,
        free: Vec::new(),
    };
    let mut done: Vec<&Command> = Vec::new();
    for command in &sequence.commands {
        if in_real_time && matches!(command, Command::Pass(_)) {
            continue;
        }
        done.push(command);
        let ends = match command {
            Command::Crash(id) | Command::Done(id) => real.child(id),
            _ => None,
        };
        let (wanted, told) = (model.step(command), real.step(command).await);
        if in_real_time {
            let is_there = || {
                let ends = ends.as_ref();
                ends.is_some_and(|child| real.child(child.id()).as_ref() == Some(child))
            };
            let turn = async || drop(real.orders.terminate_child("nobody").await);
            agreed(&tree, turn, || !is_there() && real.shown() == model.shown()).await;
        } else {
            settle().await;
        }
        let story = || {
            let (most, intensity) = (sequence.most, sequence.intensity);
            let snapshot = tree.snapshot();
            let states: Vec<String> = snapshot
                .nodes()
                .map(|node| format!("{} {} {:?}", node.path, node.state, node.last_exit))
                .collect();
            format!(
                "pool sequence {seed}: at most {most}, {intensity} in {PERIOD} units\n{done:?}\n{states:#?}"
            )
        };
        assert_eq!(real.shown(), model.shown(), "{}", story());
        assert_eq!(told, wanted, "{}", story());
        // They have no order among them.
        let (mut did, mut should) = (real.log.take(), std::mem::take(&mut model.log));
        did.sort_unstable();
        should.sort_unstable();
        assert_eq!(did, should, "{}", story());
    }
    assert!(real.root.stop().await.stuck.is_empty(), "pool sequence {seed}");
}

#[test]
fn children_that_come_and_go_agree_with_the_model() {
    on_a_paused_clock("pool, paused clock", compare);
}

#[test]
fn they_come_and_go_in_real_time_with_several_threads() {
    in_real_time("pool, real time", compare);
}

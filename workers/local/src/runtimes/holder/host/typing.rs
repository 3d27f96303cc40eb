//! What goes to the program's keyboard, and in which order: one writer for answers, people and messages.
//!
//! A message is typed as a whole: its text (in paste brackets where the program asked for them), a pause, then Enter
//! by itself. Keys of attached people wait meanwhile, so that neither ends up inside the other. Where the asker says how the
//! program shows that it takes a text, the screen is looked at before the text and again before Enter: an Enter that reached a
//! dialog would answer it. A text that was written and not sent off is taken away again before the next one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ao_domain::port::runtime::Withheld;

use crate::runtimes::holder::wire::{Line, Message, Press};

/// Between text and Enter. Agents take keys that come faster than a person's for a paste, and an Enter right after
/// one for a line of it; 120 ms is the longest such window known.
pub(super) const PAUSE: Duration = Duration::from_millis(150);

/// Within what a program shows what was typed, or that it was taken away. It takes milliseconds; seconds on a machine that swaps.
pub(super) const SHOWN: Duration = Duration::from_secs(4);

/// A program that has read what was typed and has drawn nothing for so long does not mean to: it has thrown it away.
pub(super) const QUIET: Duration = Duration::from_secs(20);

/// A person who pressed a key so recently may be in the middle of a line that the program does not show yet.
pub(super) const PERSON: Duration = Duration::from_secs(2);

/// What may wait for a program that does not read; more is dropped, as a terminal drops keys.
const LIMIT: usize = 1024 * 1024;

/// Between two keys that take a line away: programs take keys that come in one piece for a text.
pub(super) const KEYS: Duration = Duration::from_millis(40);

/// A program that has written nothing for so long has drawn its dialog and takes a key; one that goes on drawing is not waited for
/// longer than [`SHOWN`].
pub(super) const DRAWN: Duration = Duration::from_millis(250);

/// How long after a person's Escape a program has read it for sure, so that nothing is taken for a part of that key.
pub(super) const ESCAPE: Duration = Duration::from_millis(100);

/// How many names are remembered. One message is under way at a time, so the last few would do.
const NAMES: usize = 256;

/// Who asked for a message: a number the loop gives to connections.
pub(super) type Asker = u64;

/// What stands where a program takes a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// There is no such place on the screen.
    NoPlace,
    /// There is one, and what stands there would be run as a command.
    Command,
    /// Nothing.
    Nothing,
    /// These letters, without spaces and line ends.
    Letters(String),
    /// These at the end; what stands before them is out of sight.
    End(String),
}

/// What is looked at before something is typed.
pub(super) trait Look {
    /// Whether the program asked for paste brackets.
    fn bracketed(&self) -> bool;
    /// How many columns it has.
    fn columns(&self) -> usize;
    /// Whether what it shows is all that the program has written.
    fn is_whole(&self) -> bool;
    /// Whether the program has read all that was typed.
    fn has_read(&self) -> bool;
    /// What stands where it takes a text.
    fn written(&self, line: &Line) -> Written;
    /// Whether a key would be a letter of that text. It would not where something else has the cursor, with the place for a text still in
    /// sight.
    fn takes_letters(&self, line: &Line) -> bool;
    /// Whether the screen has these lines, in this order, as far as letters and digits go.
    fn has(&self, lines: &[String]) -> bool;
    /// Whether the cursor of a list is at this choice: behind the mark, or by its background where there is none.
    fn is_at(&self, mark: &str, label: &str) -> bool;
}

/// Something that was done, for the log of what was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// The text was written.
    Text(String),
    /// Enter was pressed.
    Enter(String),
    /// These keys were pressed.
    Keys(String, String),
    /// A text that may be left was taken away.
    Cleared(String),
    /// It was not typed to the end.
    Withheld(String, Withheld),
}

/// How a message went, for who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Went {
    pub(super) asker: Asker,
    pub(super) how: Result<(), Withheld>,
}

#[derive(Clone, Debug)]
enum What {
    Text(Message),
    Keys(Press),
    /// Nothing: it is only asked whether a text would be taken.
    Look(Line),
}

impl What {
    fn id(&self) -> Option<&str> {
        match self {
            Self::Text(message) => message.id.as_deref(),
            Self::Keys(press) => Some(&press.id),
            Self::Look(_) => None,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(message) => message.text.len(),
            Self::Keys(press) => press.keys.len(),
            Self::Look(_) => 0,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// What is left of an earlier text is being taken away: so many keys more, the next one at this time.
    Clearing(usize, Instant),
    /// The text is being taken by the program.
    Text,
    /// It was; the program is to show it by this time.
    Shown(Instant),
    /// It does; Enter follows at this time.
    Pause(Instant),
    /// So many of the keys that move a cursor were pressed, the next one at this time. Some programs drop one that comes right behind
    /// what they have just painted.
    Moving(usize, Instant),
    /// All of them were; it is to be there by this time.
    Coming(Instant),
    /// It is; Enter follows at this time.
    There(Instant),
    /// The last key is being taken.
    Last,
}

#[derive(Debug)]
struct Job {
    asker: Asker,
    what: What,
    step: Step,
    /// When the text was taken whole.
    taken: Option<Instant>,
}

/// A text that was written and may not have been sent off.
#[derive(Clone, Debug)]
struct Left {
    text: String,
    /// Whether Enter was pressed after the program had shown it. Where nothing stands since, it was sent off.
    entered: bool,
    /// When the program was first found to have read the last that was typed of it: the text, or Enter.
    read: Option<Instant>,
    /// Whether the program has written anything since. What it wrote before (a clock that ran out while it stood still) says
    /// nothing about it.
    reacted: bool,
}

impl Left {
    /// Whether what the screen shows of it is the program's last word. Before that it may merely be slow.
    fn is_settled(&self, now: Instant) -> bool {
        let within = if self.reacted { SHOWN } else { QUIET };
        self.read.is_some_and(|at| now >= at + within)
    }

    fn typed_on(&mut self) {
        (self.read, self.reacted) = (None, false);
    }
}

/// Bytes on their way to the program.
#[derive(Debug, Default)]
pub(super) struct Typing {
    ready: VecDeque<u8>,
    held: Vec<u8>,
    job: Option<Job>,
    waiting: VecDeque<(Asker, What)>,
    /// Names under which everything was typed.
    done: VecDeque<String>,
    /// A text of ours that may stand where the program takes texts.
    left: Option<Left>,
    /// When a person last pressed a key.
    person: Option<Instant>,
    /// When that was Escape and nothing behind it.
    escape: Option<Instant>,
    /// Answers that wait because of that.
    late: Vec<u8>,
    deeds: Vec<Deed>,
    /// When the program last wrote something.
    wrote: Option<Instant>,
    /// Since when keys wait for it to have drawn.
    drawing: Option<Instant>,
}

impl Typing {
    /// What the terminal answers to the program's questions. Right behind a person's Escape it would be read as one key with it, and
    /// the rest of it as a text.
    pub(super) fn answer(&mut self, bytes: &[u8], now: Instant) {
        if self.answers_at(now).is_some() || !self.late.is_empty() {
            self.late.extend_from_slice(bytes);
        } else {
            self.push(bytes);
        }
    }

    /// When answers may be given again.
    fn answers_at(&self, now: Instant) -> Option<Instant> {
        self.escape.map(|at| at + ESCAPE).filter(|at| now < *at)
    }

    /// The program has written something.
    pub(super) fn output(&mut self, now: Instant) {
        self.wrote = Some(now);
        if self.ready.is_empty()
            && let Some(left) = &mut self.left
        {
            left.reacted = true;
        }
    }

    /// Whether it matters to know if the program has read what was typed.
    pub(super) fn asks_for_reading(&self) -> bool {
        self.ready.is_empty() && self.left.as_ref().is_some_and(|left| left.read.is_none())
    }

    /// Whether the program had read all that was typed, found after [`Self::output`] was told of all that it had written.
    pub(super) fn reading(&mut self, has_read: bool, now: Instant) {
        if self.asks_for_reading()
            && let Some(left) = &mut self.left
        {
            if has_read {
                left.read = Some(now);
            } else {
                left.reacted = false;
            }
        }
    }

    /// Keys of an attached person.
    pub(super) fn keys(&mut self, bytes: &[u8], now: Instant) {
        if bytes.is_empty() {
            return;
        }
        if is_a_persons(bytes) {
            self.person = Some(now);
            self.escape = bytes.ends_with(b"\x1b").then_some(now);
            self.left = None; // whatever stands there now is theirs too
        }
        if self.job.is_none() {
            self.push(bytes);
        } else if self.held.len() + bytes.len() <= LIMIT {
            self.held.extend_from_slice(bytes);
        }
    }

    /// A message, typed after those before it. `false`: too much is waiting already, nothing was taken.
    pub(super) fn message(&mut self, asker: Asker, message: Message) -> bool {
        self.take(asker, What::Text(message))
    }

    /// Keys on a screen that shows certain lines, in the same order as messages.
    pub(super) fn press(&mut self, asker: Asker, press: Press) -> bool {
        self.take(asker, What::Keys(press))
    }

    /// Whether a text would be taken now; nothing is typed.
    pub(super) fn look(&mut self, asker: Asker, line: Line) -> bool {
        self.take(asker, What::Look(line))
    }

    fn take(&mut self, asker: Asker, what: What) -> bool {
        if let Some(job) = &mut self.job
            && what.id().is_some()
            && job.what.id() == what.id()
        {
            job.asker = asker; // who asked before has gone, or will not be told
            return true;
        }
        let waiting: usize = self.waiting.iter().map(|(_, what)| what.len()).sum();
        if waiting + what.len() > LIMIT {
            return false;
        }
        self.waiting.push_back((asker, what));
        true
    }

    /// The asker has left: what of theirs was not begun is not typed any more.
    pub(super) fn forget(&mut self, asker: Asker) {
        self.waiting.retain(|(who, _)| *who != asker);
    }

    /// Moves on as far as it goes without the program reading; says how a message went that is over.
    pub(super) fn advance(&mut self, now: Instant, screen: &impl Look) -> Option<Went> {
        if !self.late.is_empty() && self.answers_at(now).is_none() {
            let late = std::mem::take(&mut self.late);
            self.push(&late);
        }
        if !self.ready.is_empty() {
            return None; // what was said before is not read yet
        }
        let Some(mut job) = self.job.take() else {
            let looks = |what: &What| !matches!(what, What::Text(message) if message.prompt.is_none());
            if self.waiting.front().is_some_and(|(_, what)| looks(what)) && !screen.is_whole() {
                return None; // half a screen says nothing
            }
            if matches!(self.waiting.front(), Some((_, What::Keys(_)))) {
                let since = *self.drawing.get_or_insert(now);
                if self.drawn().is_some_and(|at| now < at) && now < since + SHOWN {
                    return None;
                }
            }
            self.drawing = None;
            let (asker, what) = self.waiting.pop_front()?;
            return self.begin(asker, what, now, screen);
        };
        match job.step {
            Step::Clearing(keys, at) => match Self::line(&job).map(|line| (screen.written(line), line)) {
                _ if !screen.is_whole() => {}
                Some((Written::Nothing, _)) => {
                    self.left = None;
                    if let Some(id) = job.what.id() {
                        self.deeds.push(Deed::Cleared(id.to_owned()));
                    }
                    self.write_text(job, screen);
                    return None;
                }
                Some((Written::Letters(_) | Written::End(_), line)) if keys > 0 => {
                    if now >= at {
                        // Counted down to nothing: each key has its turn.
                        let count = line.clear.chars().count().max(1);
                        if let Some(key) = line.clear.chars().nth(count - 1 - (keys - 1) % count) {
                            self.push(key.encode_utf8(&mut [0; 4]).as_bytes());
                        }
                        job.step = Step::Clearing(keys - 1, now + KEYS);
                    }
                }
                Some((Written::Letters(_) | Written::End(_), _)) if now < at + SHOWN => {}
                Some((Written::Letters(_) | Written::End(_), _)) => {
                    return self.withheld(&job, Withheld::Occupied);
                }
                Some((Written::NoPlace | Written::Command, _)) | None => {
                    return self.withheld(&job, Withheld::Covered);
                }
            },
            Step::Text => {
                job.taken = Some(now);
                job.step = if Self::line(&job).is_some() {
                    Step::Shown(now + SHOWN)
                } else {
                    Step::Pause(now + PAUSE)
                };
            }
            Step::Shown(until) => match Self::stands(&job, screen) {
                Ok(()) => job.step = Step::Pause(job.taken.unwrap_or(now) + PAUSE),
                Err(_) if now < until => {}
                Err(why) => return self.withheld(&job, why),
            },
            Step::Pause(until) if now >= until => {
                // The last look: what is there now is what Enter meets.
                if Self::line(&job).is_some() && Self::stands(&job, screen).is_err() {
                    job.step = Step::Shown(now + SHOWN);
                } else {
                    self.ready.push_back(b'\r');
                    if let Some(id) = job.what.id() {
                        self.deeds.push(Deed::Enter(id.to_owned()));
                    }
                    if let Some(left) = &mut self.left {
                        left.entered = true;
                        left.typed_on();
                    }
                    job.step = Step::Last;
                }
            }
            Step::Pause(_) => {}
            Step::Moving(_, at) | Step::There(at) if now < at => {}
            Step::Moving(..) | Step::Coming(_) | Step::There(_) => {
                let What::Keys(press) = &job.what else {
                    return Some(self.over(&job, Ok(())));
                };
                let has_come = press
                    .moves
                    .as_ref()
                    .is_some_and(|moves| screen.is_whole() && screen.is_at(&moves.mark, &moves.to));
                // What it is for may have closed by itself, or another have come.
                let is_there = screen.has(&press.showing)
                    && press
                        .prompt
                        .as_ref()
                        .is_none_or(|line| !screen.takes_letters(line));
                if screen.is_whole() && !is_there {
                    return self.withheld(&job, Withheld::Changed);
                }
                let next = match job.step {
                    Step::Moving(pressed, _) => in_turn(&press.keys)
                        .get(pressed)
                        .map(|key| (pressed, (*key).to_owned())),
                    _ => None,
                };
                match (job.step, next) {
                    (_, Some((pressed, key))) => {
                        self.push(key.as_bytes());
                        job.step = Step::Moving(pressed + 1, now + PAUSE);
                    }
                    (Step::There(_), None) if has_come => {
                        self.ready.push_back(b'\r');
                        self.deeds.push(Deed::Keys(press.id.clone(), "\r".to_owned()));
                        job.step = Step::Last;
                    }
                    (_, None) if has_come => job.step = Step::There(now + PAUSE),
                    (Step::Coming(until), None) if now >= until => {
                        return self.withheld(&job, Withheld::Changed);
                    }
                    (Step::Coming(_), None) => {}
                    (_, None) => job.step = Step::Coming(now + SHOWN),
                }
            }
            Step::Last => {
                if let Some(id) = job.what.id() {
                    if self.done.len() == NAMES {
                        self.done.pop_front();
                    }
                    self.done.push_back(id.to_owned());
                }
                return Some(self.over(&job, Ok(())));
            }
        }
        self.job = Some(job);
        None
    }

    fn begin(&mut self, asker: Asker, what: What, now: Instant, screen: &impl Look) -> Option<Went> {
        let mut job = Job {
            asker,
            what,
            step: Step::Text,
            taken: None,
        };
        if job
            .what
            .id()
            .is_some_and(|id| self.done.iter().any(|done| done == id))
        {
            return Some(Went { asker, how: Ok(()) });
        }
        let person = self.person.is_some_and(|at| now < at + PERSON);
        match &job.what {
            What::Keys(_) if person => return self.withheld(&job, Withheld::Person),
            What::Keys(press) => {
                let line = press.prompt.as_ref();
                // Where it takes a text, a key would be one.
                let takes_a_text = line.is_some_and(|line| screen.takes_letters(line));
                let is_elsewhere = press
                    .moves
                    .as_ref()
                    .is_some_and(|moves| !screen.is_at(&moves.mark, &moves.from));
                if press.showing.is_empty()
                    || takes_a_text
                    || is_elsewhere
                    || !screen.is_whole()
                    || !screen.has(&press.showing)
                {
                    return self.withheld(&job, Withheld::Changed);
                }
                let (id, keys) = (press.id.clone(), press.keys.clone());
                if press.moves.is_some() {
                    job.step = Step::Moving(0, now);
                } else {
                    self.push(keys.as_bytes());
                    job.step = Step::Last;
                }
                self.deeds.push(Deed::Keys(id, keys));
                self.job = Some(job);
                return None;
            }
            What::Text(_) | What::Look(_) => {}
        }
        let Some(line) = Self::line(&job) else {
            self.write_text(job, screen);
            return None;
        };
        let written = screen.written(line);
        if let Some(left) = &self.left {
            let comes_yet = match &written {
                Written::NoPlace | Written::Command => false,
                Written::Nothing => !left.entered,
                Written::Letters(_) | Written::End(_) => left.entered,
            };
            if comes_yet && !left.is_settled(now) {
                return self.withheld(&job, Withheld::NotShown); // the text or its Enter, and once
            }
            if written == Written::Nothing {
                self.left = None; // sent off, or thrown away by what was there then
            }
        }
        // Its own doing, not a person's: it is taken away like what is left of ours.
        let is_given_back = match &written {
            Written::Letters(letters) | Written::End(letters) if self.left.is_none() => line
                .given_back
                .as_deref()
                .is_some_and(|asked| is_given_back(letters, asked)),
            _ => false,
        };
        if is_given_back && !person {
            if matches!(job.what, What::Look(_)) {
                return Some(self.over(&job, Ok(())));
            }
            let (Written::Letters(letters) | Written::End(letters)) = &written else {
                return None;
            };
            let keys = presses(letters, screen.columns()) * line.clear.chars().count().max(1);
            job.step = Step::Clearing(keys, now);
            self.job = Some(job);
            return None;
        }
        match written {
            _ if person => self.withheld(&job, Withheld::Person),
            Written::NoPlace | Written::Command => self.withheld(&job, Withheld::NoPrompt),
            Written::Letters(_) | Written::End(_) if self.left.is_none() => {
                self.withheld(&job, Withheld::Occupied)
            }
            Written::Letters(_) | Written::End(_) | Written::Nothing if matches!(job.what, What::Look(_)) => {
                Some(self.over(&job, Ok(())))
            }
            Written::Nothing => {
                self.write_text(job, screen);
                None
            }
            // What is left of ours goes first.
            Written::Letters(_) | Written::End(_) => {
                let text = self.left.as_ref().map_or("", |left| left.text.as_str());
                let keys = presses(text, screen.columns()) * line.clear.chars().count().max(1);
                job.step = Step::Clearing(keys, now);
                self.job = Some(job);
                None
            }
        }
    }

    fn write_text(&mut self, mut job: Job, screen: &impl Look) {
        if let What::Text(message) = &job.what {
            self.ready.extend(typed(&message.text, screen.bracketed()));
            if let Some(id) = &message.id {
                self.deeds.push(Deed::Text(id.clone()));
            }
            self.left = message.prompt.is_some().then(|| Left {
                text: message.text.clone(),
                entered: false,
                read: None,
                reacted: false,
            });
        }
        job.step = Step::Text;
        self.job = Some(job);
    }

    fn withheld(&mut self, job: &Job, why: Withheld) -> Option<Went> {
        if let Some(id) = job.what.id() {
            self.deeds.push(Deed::Withheld(id.to_owned(), why));
        }
        Some(self.over(job, Err(why)))
    }

    fn over(&mut self, job: &Job, how: Result<(), Withheld>) -> Went {
        self.job = None;
        let held = std::mem::take(&mut self.held);
        self.push(&held);
        Went {
            asker: job.asker,
            how,
        }
    }

    fn line(job: &Job) -> Option<&Line> {
        match &job.what {
            What::Text(message) => message.prompt.as_ref(),
            What::Look(line) => Some(line),
            What::Keys(_) => None,
        }
    }

    /// Whether the text stands where the program takes texts, and nothing else does or is on its way there.
    fn stands(job: &Job, screen: &impl Look) -> Result<(), Withheld> {
        let (What::Text(message), Some(line)) = (&job.what, Self::line(job)) else {
            return Ok(());
        };
        if !screen.is_whole() || !screen.has_read() {
            return Err(Withheld::NotShown);
        }
        match screen.written(line) {
            Written::NoPlace | Written::Command => Err(Withheld::Covered),
            Written::Nothing => Err(Withheld::NotShown),
            Written::Letters(letters) if shows(&letters, &message.text, &line.folded) => Ok(()),
            Written::End(letters) if shows_end(&letters, &message.text) => Ok(()),
            Written::Letters(_) | Written::End(_) => Err(Withheld::NotShown),
        }
    }

    /// What was done since the last call.
    pub(super) fn deeds(&mut self) -> Vec<Deed> {
        std::mem::take(&mut self.deeds)
    }

    /// When the program counts as having drawn.
    fn drawn(&self) -> Option<Instant> {
        Some(self.wrote? + DRAWN)
    }

    /// When [`Self::advance`] has something to do even if the program reads and writes nothing.
    pub(super) fn due(&self) -> Option<Instant> {
        if !self.ready.is_empty() {
            return None; // the program reads first
        }
        if let Some(at) = self.escape.filter(|_| !self.late.is_empty()) {
            return Some(at + ESCAPE);
        }
        let Some(job) = &self.job else {
            return self.drawing.and(self.drawn());
        };
        match job.step {
            Step::Clearing(0, at) => Some(at + SHOWN),
            Step::Clearing(_, until)
            | Step::Pause(until)
            | Step::Moving(_, until)
            | Step::Coming(until)
            | Step::There(until)
            | Step::Shown(until) => Some(until),
            Step::Text | Step::Last => None,
        }
    }

    /// The bytes to write next.
    pub(super) fn next(&self) -> &[u8] {
        self.ready.as_slices().0
    }

    /// So many of them were written.
    pub(super) fn written_out(&mut self, count: usize) {
        self.ready.drain(..count);
        if self.ready.is_empty() {
            self.ready = VecDeque::new(); // an idle holder keeps no buffer
        }
    }

    /// The program is gone: everything is dropped; gives the askers whose messages were not typed to the end.
    pub(super) fn clear(&mut self) -> Vec<Asker> {
        let all = std::mem::take(self);
        all.job
            .map(|job| job.asker)
            .into_iter()
            .chain(all.waiting.into_iter().map(|(asker, _)| asker))
            .collect()
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.ready.len() + bytes.len() <= LIMIT {
            self.ready.extend(bytes);
        }
    }
}

/// The text as it is typed: no control character but line feed and tab (so that nothing in it can end the paste,
/// press a key or ask the terminal), in brackets where the program knows them.
fn typed(text: &str, bracketed: bool) -> Vec<u8> {
    let clean: String = text
        .replace("\r\n", "\n")
        .replace('\r', "\n")
        .chars()
        .filter(|c| matches!(c, '\n' | '\t') || !c.is_control())
        .collect();
    if bracketed && !clean.is_empty() {
        [b"\x1b[200~", clean.as_bytes(), b"\x1b[201~"].concat()
    } else {
        clean.into_bytes()
    }
}

/// Keys one by one: what begins with an escape is one key up to its letter.
fn in_turn(keys: &str) -> Vec<&str> {
    let (mut turn, mut rest) = (Vec::new(), keys);
    while let Some(first) = rest.chars().next() {
        let end = if first == '\u{1b}' {
            let letter = rest
                .char_indices()
                .skip(1)
                .find(|(_, c)| c.is_ascii_alphabetic() || *c == '~');
            letter.map_or(rest.len(), |(at, c)| at + c.len_utf8())
        } else {
            first.len_utf8()
        };
        let (key, after) = rest.split_at(end);
        turn.push(key);
        rest = after;
    }
    turn
}

/// Letters and digits alone: what a terminal makes of the rest differs.
pub(super) fn bare(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

/// Whether `letters`, which stand where a program takes texts, are those of `text`, or a sign that begins with `folded` in the place
/// of all of it. Its end alone is not: another text that ends like it stands there then, and this one is on its way.
fn shows(letters: &str, text: &str, folded: &str) -> bool {
    // The sign's own bracket is looked for too: a text may begin with its words.
    let folded: String = folded.chars().filter(|c| !c.is_whitespace()).collect();
    bare(letters) == bare(text)
        || (!folded.is_empty() && letters.starts_with(&folded) && letters.matches(&folded).count() == 1)
}

/// Whether `letters`, before which something is out of sight, are the end of `text`. A text twice over ends like one, and is longer
/// than it.
fn shows_end(letters: &str, text: &str) -> bool {
    let (wanted, letters) = (bare(text), bare(letters));
    !letters.is_empty() && letters.len() <= wanted.len() && wanted.ends_with(&letters)
}

/// Whether `letters` are what a program was `asked`, which is kept as a line and cut where it is long.
fn is_given_back(letters: &str, asked: &str) -> bool {
    const LONG: usize = 100;
    let (letters, wanted) = (bare(letters), bare(asked));
    if wanted.is_empty() {
        false
    } else if asked.chars().count() < LONG {
        letters == wanted
    } else {
        letters.starts_with(&wanted)
    }
}

/// How often the key that takes a line away is pressed for a text: once for each line as it is shown, once for the end of each, and
/// once more.
fn presses(text: &str, columns: usize) -> usize {
    /// As many as there is time for.
    const MOST: usize = 150;
    let width = columns.saturating_sub(6).max(4);
    let lines: usize = text.lines().map(|line| line.chars().count() / width + 1).sum();
    (2 * lines.max(1) + 1).min(MOST)
}

/// Whether a person pressed any of this: what a terminal tells by itself of its focus and of the mouse is no key.
fn is_a_persons(mut bytes: &[u8]) -> bool {
    while let Some(rest) = bytes.strip_prefix(b"\x1b[") {
        bytes = match rest {
            [b'I' | b'O', rest @ ..] => rest,
            [b'<', rest @ ..] => {
                let Some(end) = rest.iter().position(|byte| matches!(byte, b'M' | b'm')) else {
                    return true;
                };
                if !rest[..end]
                    .iter()
                    .all(|byte| byte.is_ascii_digit() || *byte == b';')
                {
                    return true;
                }
                &rest[end + 1..]
            }
            _ => return true,
        };
    }
    !bytes.is_empty()
}

#[cfg(test)]
mod tests;

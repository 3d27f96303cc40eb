//! The lines of a failing step's log that say why it failed.
//!
//! A log has thousands of lines and a message to an agent has room for forty. Which ones matter is known by how tools write:
//! a [table](markers) says by what a telling line is known, how much it tells, and how many of its neighbours belong to it.
//! Lines that tell the same and stand together are one block; the blocks are taken by weight until the room is used, each
//! with the [place](places) it names, and written in the order of the log. Where nothing is recognised the last lines are
//! all there is to go by.
//!
//! Understood as well: the times and the marks that a runner adds to a job's log. The time is linear in the log, but for the
//! sorting of the blocks.
//!
//! It does not make the text safe to type: `ao_domain::foreign_text::fenced` does, on what is picked here.

mod lines;
mod markers;
mod places;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::iter;
use std::ops::Range;

use lines::Line;
use markers::{After, CLEAR, MARKERS};

/// What each further block of the same marker counts less: the first errors come before the rest, and a hundred of one kind
/// do not crowd out the one line of another, such as the summary.
const FURTHER: u8 = 7;

/// The part of the room in which a failure is named: what it is, where, and the next line or two.
const NAMED: usize = 8;

/// Weight of what `go test -v` printed under a test that failed. Nothing tells it from what passing tests print but its place.
const GO_SAID: u8 = 100;

/// How many lines of it. The last ones, since `t.Fatal` ends a test.
const GO_SAID_LINES: usize = 8;

/// Up to this many lines after a telling one, the next of its kind goes on where it stopped. With more, each is a failure of
/// its own, and has its own turn.
const GOES_ON: usize = 3;

/// A gap of so few lines is closed where there is room.
const SMALL_GAP: usize = 3;

/// What the mark of a gap costs at most, its line feed included: a number has no more than twenty digits.
const GAP: usize = "… 18446744073709551615 lines …\n".len();

/// What of a failing step's log says why it failed: its telling lines in their order, in at most `most` bytes.
///
/// Colours and other escape sequences are gone, of a line that was written over the last state is left, lines that are too
/// long are cut, repeated ones folded, and every gap is marked. Only a log with nothing to see in it gives nothing.
pub(crate) fn excerpt(log: &str, most: usize) -> String {
    let lines = lines::of(log, most / 2);
    let whole: usize = lines.iter().map(Line::cost).sum();
    if whole <= most {
        return written(&lines, &vec![true; lines.len()]);
    }
    let blocks = blocks(&lines);
    let mut pick = Pick::new(&lines, most);
    let nothing_clear = blocks.first().is_none_or(|best| best.score < CLEAR);
    if nothing_clear {
        pick.take((0..lines.len()).rev(), most / 2);
    }
    // Every clear failure is named before any is told at length, and none gets more than half before each had its turn: one
    // long list of errors leaves room for what else there is.
    for (share, least) in [(most / NAMED, CLEAR), (most / 2, 0), (most, 0)] {
        for block in blocks.iter().filter(|block| block.score >= least) {
            pick.take_block(block, share);
        }
    }
    if nothing_clear {
        pick.take((0..lines.len()).rev(), most);
    }
    pick.fill_small_gaps(most);
    if pick.taken.contains(&true) {
        return written(&lines, &pick.taken);
    }
    // There is not even room for a line and the marks around it.
    let best = blocks.first().map_or(lines.len() - 1, |best| best.core.start);
    let text = &lines[best].text;
    text[..text.floor_char_boundary(most)].to_owned()
}

/// Lines that are taken together.
#[derive(Debug)]
struct Block {
    score: u8,
    /// The telling lines and what follows them.
    core: Range<usize>,
    /// How many lines before them belong to it. They are the first to go where room is short.
    before: usize,
    /// Where the failure is, if its first line does not say so. Without it the rest is of little use.
    place: Option<usize>,
}

impl Block {
    /// What is taken whole or not at all.
    fn head(&self) -> impl Iterator<Item = usize> + use<> {
        iter::once(self.core.start).chain(self.place)
    }

    /// Its other lines, the most telling first.
    fn rest(&self) -> impl Iterator<Item = usize> + use<> {
        let place = self.place;
        let core = (self.core.start + 1..self.core.end).filter(move |at| Some(*at) != place);
        let before = self.core.start.saturating_sub(self.before)..self.core.start;
        core.chain(before.rev())
    }
}

/// All blocks, the most telling first, the earlier first among equals.
fn blocks(lines: &[Line]) -> Vec<Block> {
    let failing = failing_steps(lines);
    let mut steps = failing.iter().peekable();
    let mut blocks: Vec<Block> = Vec::new();
    let mut last: [Option<usize>; MARKERS.len()] = [None; MARKERS.len()]; // the last block of each marker
    let mut seen = [0_u8; MARKERS.len()];
    for (at, line) in lines.iter().enumerate() {
        let Some(kind) = markers::found_in(&line.text) else {
            continue;
        };
        let marker = &MARKERS[kind];
        let end = end_of(lines, at, marker.after);
        if let Some(block) = last[kind].map(|last| &mut blocks[last])
            && block.core.end >= at
        {
            if marker.after.most() <= GOES_ON {
                block.core.end = end.max(block.core.end);
                continue;
            }
            block.core.end = at;
        }
        let mut score = marker.weight.saturating_sub(seen[kind].saturating_mul(FURTHER));
        while steps.next_if(|step| step.end <= at).is_some() {}
        if steps.peek().is_none_or(|step| at < step.start) {
            score /= 2;
        }
        last[kind] = Some(blocks.len());
        seen[kind] = seen[kind].saturating_add(1);
        blocks.push(Block {
            score,
            core: at..end,
            before: before(lines, at, marker.before),
            place: None,
        });
    }
    blocks.extend(said_by_failed_go_tests(lines));
    for block in &mut blocks {
        let place = block.core.clone().find(|at| places::names_one(&lines[*at].text));
        block.place = place.filter(|place| *place != block.core.start);
    }
    blocks.sort_by_key(|block| std::cmp::Reverse(block.score));
    blocks
}

/// How many of the `most` lines before the marker at `at` belong to it.
fn before(lines: &[Line], at: usize, most: usize) -> usize {
    let lines = lines[at.saturating_sub(most)..at].iter().rev();
    let belongs = |line: &&Line| !markers::ends_a_window(&line.text) && !places::is_foreign(&line.text);
    lines.take_while(belongs).count()
}

/// Where the window behind the marker at `at` ends.
fn end_of(lines: &[Line], at: usize, after: After) -> usize {
    let (most, to_blank) = match after {
        After::Lines(most) => (most, false),
        After::ToBlank(most) => (most, true),
    };
    let rest = lines.iter().skip(at + 1).take(most);
    let many = rest
        .take_while(|line| !(to_blank && line.text.is_empty() || markers::ends_a_window(&line.text)))
        .count();
    let mut end = at + 1 + many;
    while lines[end - 1].text.is_empty() {
        end -= 1;
    }
    end
}

/// The steps that failed, where the log is a whole job's and says so; else all of it. What other steps printed counts half: a
/// failure that they were allowed is none.
fn failing_steps(lines: &[Line]) -> Vec<Range<usize>> {
    let mut steps = Vec::new();
    let mut begin = 0;
    for (at, line) in lines.iter().enumerate() {
        if line.text.starts_with("##[group]Run ") {
            begin = at;
        } else if markers::ends_a_step(&line.text) {
            steps.push(begin..at + 1);
            begin = at + 1;
        }
    }
    if steps.is_empty() {
        steps.push(0..lines.len());
    }
    steps
}

/// The last lines that each failed test of `go test -v` printed. They stand under the test's heading, and only later is it
/// said that it failed. A test that failed by a part of it is left out: the part tells.
fn said_by_failed_go_tests(lines: &[Line]) -> Vec<Block> {
    let mut said: HashMap<&str, Range<usize>> = HashMap::new();
    let mut current = None;
    let mut failed: Vec<(&str, Option<Range<usize>>)> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let mut words = line.text.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("==="), Some("RUN" | "CONT" | "NAME"), Some(name)) => {
                current = Some(name);
                said.insert(name, at..at + 1);
            }
            (Some("---"), Some("FAIL:"), Some(name)) => {
                current = None;
                if let Some((parent, said)) = failed.last_mut()
                    && name
                        .strip_prefix(*parent)
                        .is_some_and(|part| part.starts_with('/'))
                {
                    *said = None;
                }
                failed.push((name, said.get(name).cloned()));
            }
            (Some("---" | "===" | "PASS" | "FAIL" | "ok"), ..) => current = None,
            _ => {
                if let Some(said) = current.and_then(|name| said.get_mut(name)) {
                    said.end = at + 1;
                }
            }
        }
    }
    let said = failed
        .into_iter()
        .filter_map(|(_, said)| said.filter(|said| said.len() > 1));
    let blocks = said.enumerate().map(|(nth, said)| Block {
        score: GO_SAID.saturating_sub(u8::try_from(nth).unwrap_or(u8::MAX).saturating_mul(FURTHER)),
        core: said.start.max(said.end.saturating_sub(GO_SAID_LINES))..said.end,
        before: 0,
        place: None,
    });
    blocks.collect()
}

/// What is taken so far, and the room that is left.
struct Pick<'a> {
    lines: &'a [Line],
    taken: Vec<bool>,
    room: usize,
}

impl<'a> Pick<'a> {
    fn new(lines: &'a [Line], most: usize) -> Self {
        Self {
            lines,
            taken: vec![false; lines.len()],
            room: most.saturating_sub(GAP), // all of it is one gap
        }
    }

    /// Takes what of a block has room: its head or nothing, then as much of the rest as costs no more than `share` with it.
    fn take_block(&mut self, block: &Block, share: usize) {
        let room = self.room;
        let mut left = share;
        let mut new = Vec::new();
        for at in block.head() {
            let was_taken = self.taken[at];
            if !self.take_line(at, &mut left) {
                for at in new {
                    self.taken[at] = false;
                }
                self.room = room;
                return;
            }
            if !was_taken {
                new.push(at);
            }
        }
        self.take(block.rest(), left);
    }

    /// Takes lines in this order, until they have cost `share` or the room is used.
    fn take(&mut self, mut order: impl Iterator<Item = usize>, mut share: usize) {
        while order.next().is_some_and(|at| self.take_line(at, &mut share)) {}
    }

    /// Closes the gaps that leave out next to nothing, while there is room.
    fn fill_small_gaps(&mut self, most: usize) {
        let mut at = 0;
        while at < self.taken.len() {
            let gap = self.taken[at..].iter().take_while(|taken| !**taken).count();
            if (1..=SMALL_GAP).contains(&gap) && self.cost(at..at + gap) <= self.room {
                self.take(at..at + gap, most);
            }
            at += gap.max(1);
        }
    }

    fn cost(&self, range: Range<usize>) -> usize {
        self.lines[range].iter().map(Line::cost).sum()
    }

    /// Whether there was room for the line, or it is taken already.
    fn take_line(&mut self, at: usize, share: &mut usize) -> bool {
        if self.taken[at] {
            *share = share.saturating_sub(self.lines[at].cost());
            return true;
        }
        // A line amid others that are left out makes two gaps of one; between two that are taken it closes one.
        let beside = usize::from(at > 0 && self.taken[at - 1])
            + usize::from(self.taken.get(at + 1).copied().unwrap_or_default());
        let cost = self.lines[at].cost() + if beside == 0 { GAP } else { 0 };
        if cost > self.room || cost > *share {
            return false;
        }
        *share -= cost;
        self.room -= cost;
        if beside == 2 {
            self.room += GAP;
        }
        self.taken[at] = true;
        true
    }
}

/// The lines that are taken, with a mark for each gap; a gap no longer than its mark is filled instead.
fn written(lines: &[Line], taken: &[bool]) -> String {
    let mut out = String::new();
    let mut left_out = 0..0;
    for at in 0..=lines.len() {
        if taken.get(at).is_some_and(|taken| !taken) {
            left_out.end = at + 1;
            continue;
        }
        let gap = &lines[left_out.clone()];
        let many: usize = gap.iter().map(|line| line.times).sum();
        let mark = format!("… {many} {} …\n", if many == 1 { "line" } else { "lines" });
        if gap.iter().map(Line::cost).sum::<usize>() <= mark.len() {
            gap.iter().for_each(|line| line.write(&mut out));
        } else {
            out.push_str(&mark);
        }
        if let Some(line) = lines.get(at) {
            line.write(&mut out);
        }
        left_out = at + 1..at + 1;
    }
    out.truncate(out.trim_end().len());
    out
}

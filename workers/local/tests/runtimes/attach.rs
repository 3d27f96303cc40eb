//! A person's terminal on a run.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ao_domain::Exit;
use ao_domain::port::runtime::{Look, Runtime as _, Typing};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Signal;
use rustix::termios::{Termios, Winsize};

use crate::support::{PATIENCE, Test, World, at, block_on, command, is_alive, ourselves, signal};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("attach_shows_types_follows_and_leaves", shows_and_leaves),
        ("attach_puts_the_terminal_back_when_told_to_end", told_to_end),
        ("attach_offers_a_shell_after_the_end", shell_after_the_end),
        ("attach_sees_the_holder_go", holder_goes),
        ("attach_without_a_terminal_says_so", no_terminal),
        ("attach_shows_the_record_of_a_run_without_holder", record_only),
    ]
}

/// A person at a terminal, with `attach` running in it.
pub(crate) struct Person {
    pub(crate) child: Child,
    /// What the person's terminal shows and takes.
    screen: File,
    /// The program's side, to look at its settings.
    terminal: File,
    before: Termios,
    seen: String,
}

fn winsize(cols: u16, rows: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

impl Person {
    fn attaches(world: &World) -> Self {
        let mut attach = command(&ourselves());
        attach.args(["helper", "attach", world.root.as_str(), "web-1"]);
        Self::runs(attach)
    }

    /// At a terminal in which this program is started.
    pub(crate) fn runs(mut program: Command) -> Self {
        let pty = rustix_openpty::openpty(None, Some(&winsize(90, 20))).unwrap();
        let before = rustix::termios::tcgetattr(&pty.user).unwrap();
        let side = || Stdio::from(pty.user.try_clone().unwrap());
        let child = program
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .unwrap();
        Self {
            child,
            screen: File::from(pty.controller),
            terminal: File::from(pty.user),
            before,
            seen: String::new(),
        }
    }

    /// Waits until the terminal has shown this since the last time.
    pub(crate) fn sees(&mut self, text: &str) -> String {
        assert!(
            self.may_see(text, PATIENCE),
            "`{text}` was never shown but {:?}",
            self.seen
        );
        let at = self.seen.find(text).expect("just found") + text.len();
        let rest = self.seen.split_off(at);
        std::mem::replace(&mut self.seen, rest)
    }

    /// Whether it is shown before the program ends.
    pub(crate) fn sees_before_the_end(&mut self, text: &str) -> bool {
        let began = Instant::now();
        while !self.may_see(text, Duration::from_millis(10)) {
            if self.child.try_wait().unwrap().is_some() {
                return self.may_see(text, Duration::from_millis(10)); // what was said last
            }
            assert!(
                began.elapsed() < PATIENCE,
                "`{text}` was never shown but {:?}",
                self.seen
            );
        }
        self.sees(text);
        true
    }

    /// Whether it is shown in that time.
    fn may_see(&mut self, text: &str, patience: Duration) -> bool {
        let began = Instant::now();
        let mut buffer = [0; 8192];
        while !self.seen.contains(text) {
            let left = patience.saturating_sub(began.elapsed());
            if left.is_zero() {
                return false;
            }
            let mut fds = [PollFd::new(&self.screen, PollFlags::IN)];
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap(),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            // An interrupted wait is a wait for less.
            if rustix::event::poll(&mut fds, Some(&timeout)).is_ok_and(|ready| ready > 0) {
                let count = self.screen.read(&mut buffer).unwrap();
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        }
        true
    }

    pub(crate) fn types(&mut self, keys: &[u8]) {
        self.screen.write_all(keys).unwrap();
    }

    pub(crate) fn resizes(&self, cols: u16, rows: u16) {
        rustix::termios::tcsetwinsize(&self.terminal, winsize(cols, rows)).unwrap();
        signal(self.child.id(), Signal::WINCH); // the terminal is not its controlling one here
    }

    /// Waits for `attach` to end; its exit code, none if a signal ended it. The terminal is as it was.
    pub(crate) fn comes_back(mut self) -> Option<i32> {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not end");
            self.may_see("\0", Duration::from_millis(10)); // a terminal that nobody reads keeps its program from ending
        };
        let after = rustix::termios::tcgetattr(&self.terminal).unwrap();
        let settings = |termios: &Termios| {
            format!(
                "{:?} {:?} {:?} {:?}",
                termios.input_modes, termios.output_modes, termios.control_modes, termios.local_modes
            )
        };
        assert_eq!(settings(&after), settings(&self.before));
        status.code()
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn shows_and_leaves() {
    let world = World::new();
    block_on(async {
        world
            .start(
                "echo was there before; trap 'stty size' WINCH; printf '\\033[?2004h\\033[?1002h'; \
                 while :; do read x && echo got $x; done",
            )
            .await;
        world.shows("was there before").await;
        let mut person = Person::attaches(&world);
        person.sees("[ao] Ctrl-\\ leaves");
        person.sees("was there before");
        person.sees("\x1b[?2004h");
        world.shows("20 90").await; // the agent has the person's size
        person.types(b"some keys\r");
        person.sees("got some keys");
        person.resizes(70, 25);
        person.sees("25 70");
        person.types(b"unsent\x1cnot typed");
        let last = person.sees("[ao] left; the agent runs on");
        assert!(
            last.contains("\x1b[?2004l") && last.contains("\x1b[?1002l"),
            "{last:?}"
        );
        assert_eq!(person.comes_back(), Some(0));
        assert!(matches!(world.look().await, Look::Running(_)));
        let screen = world.runtime.screen(&at("web-1", 1)).await.unwrap();
        assert!(
            !screen.lines.iter().any(|line| line.contains("not typed")),
            "{screen:?}"
        );
    });
}

fn told_to_end() {
    for word in [Signal::TERM, Signal::HUP] {
        let world = World::new();
        block_on(async {
            world.start("echo up; exec cat").await;
            let mut person = Person::attaches(&world);
            person.sees("up");
            signal(person.child.id(), word);
            person.sees("[ao] left");
            assert_eq!(
                person.comes_back(),
                None,
                "ended as whoever sent the signal expects"
            );
            assert!(matches!(world.look().await, Look::Running(_)));
        });
    }
}

fn shell_after_the_end() {
    let world = World::new();
    block_on(async {
        world
            .start("printf '\\033[?1049h\\033[?1002hfull screen'; read x; exit 9")
            .await;
        let mut person = Person::attaches(&world);
        person.sees("full screen");
        person.types(b"go\r");
        person.sees("the agent ended (exit status 9); press s for a shell");
        assert_eq!(world.ended().await, Exit::Code(9));
        person.types(b"is it done?\r"); // somebody who did not notice yet: no shell, no command
        while !person.may_see(
            &format!("[ao] /bin/sh in {}", world.cwd),
            Duration::from_millis(700),
        ) {
            person.types(b"s");
        }
        person.types(b"echo shell-$((40+2)) $AO_TEST_MARK; pwd\r");
        person.sees(&format!("shell-42 {}", world.mark));
        person.sees(world.cwd.as_str());
        // Nothing of ours is ever typed into it.
        assert!(
            world
                .runtime
                .type_text(&at("web-1", 1), Typing::unseen("echo typed"))
                .await
                .is_err()
        );
        person.types(b"exit 3\r");
        person.sees("the shell ended (exit status 3)");
        assert_eq!(
            world.ended().await,
            Exit::Code(9),
            "the run's end stays the agent's"
        );
        person.types(b"\x1c");
        person.sees("[ao] the agent ended (exit status 9)");
        assert_eq!(person.comes_back(), Some(10));
    });
}

fn holder_goes() {
    let world = World::new();
    block_on(async {
        let held = world.start("echo up; exec cat").await;
        let mut person = Person::attaches(&world);
        person.sees("up");
        signal(held.holder.pid, Signal::KILL);
        person.sees("[ao] the holder is gone");
        assert_eq!(person.comes_back(), Some(11));
    });
}

fn no_terminal() {
    let world = World::new();
    block_on(async {
        world.start("exec cat").await;
        let output = command(&ourselves())
            .args(["helper", "attach", world.root.as_str(), "web-1"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("have to be a terminal"), "{said}");
    });
}

fn record_only() {
    let world = World::new();
    block_on(async {
        let held = world.start("echo the last of it; exit 2").await;
        world.ended().await;
        signal(held.holder.pid, Signal::KILL);
        crate::support::eventually("the holder's end", || !is_alive(&held.holder)).await;
        let mut person = Person::attaches(&world);
        person.sees("the last of it");
        person.sees("[ao] the agent ended (exit status 2)");
        assert_eq!(person.comes_back(), Some(10));
    });
}

//! A supervisors' thread that is held up: the watchdog is the only one left who can notice. What it may do then ends a process,
//! so each case is a process of its own: this program again, told its part.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use ao_supervisor::{Budget, ChildSpec, Done, Strategy, Supervisor, Unheard};

const PART: &str = "AO_TEST_UNHEARD";

/// Foreign code that runs on the supervisors' thread: dropped there, with the specification that holds it, when its child is
/// deleted.
struct HoldsUp {
    held: Sender<()>,
    free: Mutex<Receiver<()>>,
}

impl Drop for HoldsUp {
    fn drop(&mut self) {
        let _ = self.held.send(());
        let _ = self.free.get_mut().unwrap().recv();
    }
}

/// A child falls silent while the supervisors' thread is held up, until the watchdog has said so.
fn play(unheard: Unheard) {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let children = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (is_held, held) = channel();
    let (free, freed) = channel();
    let weight = HoldsUp {
        held: is_held,
        free: Mutex::new(freed),
    };
    let silent = ChildSpec::new("silent", |ctx| async move {
        ctx.ready();
        std::future::pending::<()>().await;
        Ok(Done)
    })
    .heartbeat(Duration::from_millis(200));
    let heavy = ChildSpec::new("heavy", move |ctx| {
        let _kept = &weight;
        async move {
            ctx.ready();
            ctx.stopping().await;
            Ok(Done)
        }
    });
    let top = Supervisor::root(
        "top",
        Strategy::OneForOne,
        Budget::restarts(1000).per(Duration::from_secs(1)),
    )
    .unheard(unheard)
    .child(heavy)
    .child(silent);
    let handle = children.handle().clone();
    children.block_on(async {
        let root = top.start_apart(handle).await.unwrap();
        let orders = root.tree().supervisor("top").unwrap();
        orders.terminate_child("heavy").await.unwrap();
        let deleted = children.spawn(async move { orders.delete_child("heavy").await });
        let waited = children.spawn_blocking(move || {
            held.recv().unwrap();
            // Whoever reads what is logged lets it go.
            std::io::stdin().read_line(&mut String::new()).unwrap();
            free.send(()).unwrap();
        });
        waited.await.unwrap();
        deleted.await.unwrap().unwrap();
        let mut events = root.tree().events();
        while root
            .tree()
            .snapshot()
            .find("top/silent")
            .unwrap()
            .last_exit
            .is_none()
        {
            events.next().await;
        }
        println!("acted");
        assert!(root.stop().await.stuck.is_empty());
        println!("stopped");
    });
}

#[expect(
    clippy::disallowed_methods,
    reason = "this crate knows no other crate of ours; it ends with its test, which waits for it"
)]
fn process(part: &str, test: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(PART, part)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the process is told its part by the test that starts it"
)]
fn plays(part: &str) -> bool {
    std::env::var_os(PART).is_some_and(|played| played == part)
}

const SAYS: &str =
    "its supervisor does not act on its silence: the supervisors' thread is held up path=\"top/silent\"";

/// Reads until it is said; what came before, if it never is.
fn hear(process: &mut Child) -> Result<(), String> {
    let mut said = String::new();
    let mut lines = BufReader::new(process.stderr.as_mut().unwrap());
    while lines.read_line(&mut said).unwrap() > 0 {
        if said.contains(SAYS) {
            return Ok(());
        }
    }
    Err(said)
}

#[test]
fn a_held_up_thread_is_logged_and_its_supervisor_acts_when_it_can() {
    if plays("log") {
        return play(Unheard::Log);
    }
    let mut process = process(
        "log",
        "a_held_up_thread_is_logged_and_its_supervisor_acts_when_it_can",
    );
    hear(&mut process).unwrap();
    assert!(process.try_wait().unwrap().is_none(), "it goes on");
    process.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    let output = process.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("acted\nstopped\n"), "{said}");
}

#[test]
fn a_held_up_thread_ends_the_process_where_that_is_wanted() {
    if plays("exit") {
        return play(Unheard::Exit(70));
    }
    let mut process = process("exit", "a_held_up_thread_ends_the_process_where_that_is_wanted");
    hear(&mut process).unwrap();
    // Would let the thread go, and the process end well, if there were still one.
    drop(process.stdin.take());
    let status = process.wait().unwrap();
    assert_eq!(status.code(), Some(70));
}

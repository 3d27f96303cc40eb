//! What the test binary is when it is not the tests: agents and callers in processes of their own.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Instant;

use ao_domain::port::runtime::Runtime as _;
use ao_local::runtimes::holder::attach::{self, AttachEnd, DetachKey};
use ao_local::runtimes::holder::wire::{Frame, Hello};
use rustix::termios::OptionalActions;

use crate::support::{Kind, PATIENCE, at, runtime_below, sh_launch};

pub(crate) fn main(words: &[&str]) -> ExitCode {
    match words {
        ["record", to, greeting] => record(to, greeting),
        ["argv", to, rest @ ..] => {
            fs::write(to, rest.join("\0")).expect("the test reads this file");
            wait_for_ever()
        }
        ["create", kind, root, cwd, mark, script] => create(Kind::named(kind), root, cwd, mark, script),
        ["knock", socket] => knock(socket),
        ["attach", root, session] => attach(root, session),
        _ => ExitCode::from(2),
    }
}

fn wait_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}

/// A program with a raw terminal that writes down what it reads: per read a line of milliseconds and hex digits.
fn record(to: &str, greeting: &str) -> ExitCode {
    let mut terminal = rustix::termios::tcgetattr(std::io::stdin()).expect("an agent has a terminal");
    terminal.make_raw();
    rustix::termios::tcsetattr(std::io::stdin(), OptionalActions::Now, &terminal).expect("it is ours");
    let mut file = File::create(to).expect("the test reads this file");
    print!("{}", greeting.replace("ESC", "\x1b"));
    println!("recording\r");
    std::io::stdout().flush().expect("the terminal is there");
    let began = Instant::now();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = std::io::stdin().lock().read(&mut buffer) {
        let hex: String = buffer[..count].iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(file, "{} {hex}", began.elapsed().as_millis()).expect("the test reads this file");
    }
    ExitCode::SUCCESS
}

/// A daemon that creates a run, says so and is then killed.
fn create(kind: Kind, root: &str, cwd: &str, mark: &str, script: &str) -> ExitCode {
    let runtime = runtime_below(kind, root.as_ref());
    let launch = sh_launch(at("web-1", 1), cwd.as_ref(), mark, script);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(async {
            let held = runtime.create(&launch).await.expect("the run starts");
            println!("{} {}", held.holder.pid, held.agent.pid);
        });
    wait_for_ever()
}

/// Greets a holder and says whether it greets back.
fn knock(socket: &str) -> ExitCode {
    let mut answer = Vec::new();
    let heard = UnixStream::connect(socket).and_then(|mut stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&Frame::Hello(Hello::ours()).encode())?;
        stream.shutdown(std::net::Shutdown::Write)?;
        stream.read_to_end(&mut answer)
    });
    println!("{} {:?}", answer.len(), heard.map_err(|error| error.kind()));
    ExitCode::SUCCESS
}

fn attach(root: &str, session: &str) -> ExitCode {
    match attach::run(root.as_ref(), &at(session, 1), DetachKey::default()) {
        Ok(AttachEnd::Detached) => ExitCode::SUCCESS,
        Ok(AttachEnd::Ended(_)) => ExitCode::from(10),
        Ok(AttachEnd::Gone) => ExitCode::from(11),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

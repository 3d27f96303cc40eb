//! The socket itself: strangers, garbage, later versions, viewers that do not read.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;

use ao_domain::Exit;
use ao_domain::port::runtime::{Look, Runtime as _, RuntimeError, Typing};
use ao_local::runtimes::holder::wire::{
    Attach, Cells, Decoder, Frame, Hello, MAX_FROM_CLIENT, MAX_FROM_HOLDER, Scrollback, VERSION,
};

use crate::support::{Kind, PATIENCE, Test, World, at, block_on, command, ourselves};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("garbage_ends_its_own_connection_only", garbage),
        ("another_user_is_turned_away", another_user),
        ("unknown_frames_are_skipped", unknown_frames),
        ("bye_is_refused_while_the_agent_runs", bye),
        ("a_viewer_sees_what_was_and_what_comes", viewer),
        ("a_viewer_that_does_not_read_delays_nobody", slow_viewer),
        ("answers_of_a_viewers_terminal_are_dropped", viewer_answers),
        ("a_holder_that_cannot_look_is_asked_to_type_nothing", cannot_look),
    ]
}

/// A client that speaks the wire by hand.
pub(crate) struct Client {
    stream: UnixStream,
    decoder: Decoder,
}

impl Client {
    pub(crate) fn connect(world: &World) -> Self {
        let stream = UnixStream::connect(world.run_dir().join("sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            decoder: Decoder::new(MAX_FROM_HOLDER),
        }
    }

    pub(crate) fn greeted(world: &World) -> Self {
        let mut client = Self::connect(world);
        client.say(&Frame::Hello(Hello::ours()));
        assert!(matches!(client.hear(), Some(Frame::Welcome(hello)) if hello.version == VERSION));
        client
    }

    /// Waits until the pane shows the run.
    pub(crate) fn pane_is_there(world: &World) {
        let mut client = Self::greeted(world);
        let began = std::time::Instant::now();
        loop {
            client.say(&Frame::Status);
            if matches!(client.hear(), Some(Frame::StatusIs(status)) if status.viewers > 0) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "no pane shows it");
            std::thread::yield_now();
        }
    }

    pub(crate) fn say(&mut self, frame: &Frame) {
        self.stream.write_all(&frame.encode()).unwrap();
    }

    /// The next frame; `None` once the holder has closed.
    pub(crate) fn hear(&mut self) -> Option<Frame> {
        let mut buffer = [0; 64 * 1024];
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(frame);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.decoder.push(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => panic!("the holder says nothing: {error}"),
            }
        }
    }

    pub(crate) fn attach(&mut self) {
        self.say(&Frame::Attach(Attach {
            cols: 100,
            rows: 30,
            scrollback: Scrollback::Replace,
        }));
    }

    /// Reads what is shown until `text` is among it.
    pub(crate) fn sees(&mut self, text: &str) -> String {
        let mut shown = String::new();
        loop {
            match self.hear().expect("the holder is there") {
                Frame::Snapshot(bytes) | Frame::Output(bytes) => {
                    shown.push_str(&String::from_utf8_lossy(&bytes));
                }
                _ => {}
            }
            if shown.contains(text) {
                return shown;
            }
        }
    }
}

fn garbage() {
    let world = World::new();
    block_on(async {
        let held = world.start("exec cat").await;
        for bytes in [
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            vec![0; 64],
            vec![0xff; 64],
            [&5_u32.to_be_bytes()[..], b"\x01{{{{"].concat(),
            Frame::Status.encode(), // before a hello
            u32::try_from(MAX_FROM_CLIENT + 2).unwrap().to_be_bytes().to_vec(),
        ] {
            let mut client = Client::connect(&world);
            client.stream.write_all(&bytes).unwrap();
            assert_eq!(client.hear(), None, "{bytes:?}");
        }
        assert_eq!(world.look().await, Look::Running(held));
    });
}

/// Runs as root only: nobody else can be somebody else.
fn another_user() {
    const NOBODY: u32 = 65_534;
    let world = World::new();
    block_on(async {
        world.start("exec cat").await;
        // As if somebody had opened every door on the way.
        let socket = world.run_dir().join("sock");
        let client = world.file("client");
        std::fs::copy(ourselves(), &client).unwrap();
        for path in client.ancestors().take(2).chain(socket.ancestors().take(4)) {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        let knock = |uid: u32| {
            let output = command(&client)
                .args(["helper", "knock", socket.as_str()])
                .uid(uid)
                .output()
                .unwrap();
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let stranger = knock(NOBODY);
        assert!(stranger.starts_with("0 "), "{stranger}");
        assert!(
            !stranger.contains("PermissionDenied"),
            "the way was open: {stranger}"
        );
        let ours = knock(rustix::process::geteuid().as_raw());
        assert!(ours.contains("Ok"), "{ours}");
        assert!(!ours.starts_with("0 "), "{ours}");
    });
}

fn unknown_frames() {
    let world = World::new();
    block_on(async {
        world.start("exec cat").await;
        let mut client = Client::greeted(&world);
        client.say(&Frame::Unknown(0x7f));
        client
            .stream
            .write_all(&[&9_u32.to_be_bytes()[..], b"\x60whatever"].concat())
            .unwrap();
        client.say(&Frame::Resize(Cells { cols: 80, rows: 24 }));
        assert_eq!(client.hear(), Some(Frame::Done));
    });
}

fn bye() {
    let world = World::new();
    block_on(async {
        let held = world.start("read x; exit 0").await;
        let mut client = Client::greeted(&world);
        client.say(&Frame::Bye);
        assert!(matches!(client.hear(), Some(Frame::Refused(refusal)) if refusal.code == "running"));
        world
            .runtime
            .type_text(&at("web-1", 1), Typing::unseen("go"))
            .await
            .unwrap();
        assert_eq!(world.ended().await, Exit::Code(0));
        client.say(&Frame::Bye);
        assert_eq!(client.hear(), Some(Frame::Done));
        assert_eq!(client.hear(), None, "the holder has ended");
        let Look::Ended(read) = world.look().await else {
            panic!("its record stays");
        };
        assert_eq!(read.agent, held.agent);
    });
}

fn viewer() {
    let world = World::new();
    block_on(async {
        world
            .start("printf '\\033[31mred\\033[0m before\\n'; stty -echo; read x; echo after $x; exit 6")
            .await;
        world.shows("red before").await;
        let mut viewer = Client::greeted(&world);
        viewer.attach();
        assert_eq!(
            viewer.hear(),
            Some(Frame::Attached(Cells { cols: 100, rows: 30 }))
        );
        let snapshot = viewer.sees("before");
        assert!(snapshot.contains("31mred"), "{snapshot:?}");
        let Some(Frame::Live(seq)) = viewer.hear() else {
            panic!("the snapshot has an end");
        };
        assert!(seq > 0);
        viewer.say(&Frame::Input(b"typed\r".to_vec()));
        viewer.sees("after typed");
        loop {
            if let Some(Frame::Ended(exit)) = viewer.hear() {
                assert_eq!(exit, Exit::Code(6));
                break;
            }
        }
        assert!(
            world.run_dir().join("exit.json").exists(),
            "the record is written before anybody is told"
        );
    });
}

fn slow_viewer() {
    let world = World::new();
    let proof = world.file("proof");
    block_on(async {
        world
            .start(&format!(
                "read x; yes 0123456789012345678901234567890123456789 | head -c 8000000; \
                 echo; echo the end; echo done > {proof}; exec cat"
            ))
            .await;
        let mut viewer = Client::greeted(&world);
        viewer.attach();
        world
            .runtime
            .type_text(&at("web-1", 1), Typing::unseen("go"))
            .await
            .unwrap();
        // Nothing is read here, and the agent still gets everything out.
        crate::support::read_when(&proof, |text| text == "done\n").await;
        world.shows("the end").await;
        let shown = viewer.sees("the end");
        assert!(
            shown.len() < 6_000_000,
            "all {} bytes were kept for a viewer that did not read",
            shown.len()
        );
        // And it goes on live.
        world
            .runtime
            .type_text(&at("web-1", 1), Typing::unseen("still here"))
            .await
            .unwrap();
        viewer.sees("still here");
    });
}

fn viewer_answers() {
    let world = World::new();
    let to = world.file("record");
    block_on(async {
        world.start_helper(&["record", to.as_str(), ""]).await;
        world.shows("recording").await;
        let mut viewer = Client::greeted(&world);
        viewer.attach();
        viewer.sees("recording");
        viewer.say(&Frame::Input(b"a\x1b[?62;22c\x1b[4;5R".to_vec()));
        viewer.say(&Frame::Input(b"\x1b]11;rgb:00/00/".to_vec()));
        viewer.say(&Frame::Input(b"00\x1b\\b\x1b[Aq".to_vec()));
        let hex =
            |record: &str| -> String { record.lines().filter_map(|line| line.split(' ').nth(1)).collect() };
        let record = crate::support::read_when(&to, |record| hex(record).ends_with("71")).await;
        assert_eq!(hex(&record), "61621b5b4171", "a, b, up, q");
    });
}

/// A holder of an earlier version would take a text and not look: it is told nothing of it.
fn cannot_look() {
    let world = World::new();
    let to = world.file("record");
    block_on(async { world.start_helper(&["record", to.as_str(), ""]).await });
    if world.kind == Kind::Zellij {
        Client::pane_is_there(&world); // and comes to nobody else
    }
    // Somebody in the place of the holder's socket, who greets as one did before.
    let socket = world.run_dir().join("sock");
    std::fs::remove_file(&socket).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut decoder = Decoder::new(MAX_FROM_CLIENT);
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            decoder.push(&buffer[..count]);
            while let Ok(Some(frame)) = decoder.next_frame() {
                if matches!(frame, Frame::Hello(_)) {
                    let old = Hello {
                        features: Vec::new(),
                        ..Hello::ours()
                    };
                    stream.write_all(&Frame::Welcome(old).encode()).unwrap();
                }
                heard.push(frame);
            }
        }
        heard
    });
    let asked = block_on(async {
        let named = Typing {
            id: Some("m1.1"),
            ..Typing::unseen("go")
        };
        world.runtime.type_text(&at("web-1", 1), named).await
    });
    assert!(matches!(asked, Err(RuntimeError::TooOld)), "{asked:?}");
    let heard = heard.join().unwrap();
    assert!(matches!(heard.as_slice(), [Frame::Hello(_)]), "{heard:?}");
}

//! Who may drive an agent: our own user's programs, and nobody's web page.

use std::process::Stdio;

use ao_tests::{World, not_tested};
use serde_json::Value;

use crate::AO;

/// Every route there is, with a method it answers: from the daemon's own OpenAPI page, and the ones outside of it.
fn routes(world: &World) -> Vec<(String, String)> {
    let page = world.ask("GET", "/api/v1/openapi.yaml", None);
    assert_eq!(page.status, 200);
    let page = String::from_utf8(page.body).unwrap();
    let (mut found, mut path) = (Vec::new(), String::new());
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("  /").and_then(|rest| rest.strip_suffix(':')) {
            path = format!("/{name}")
                .replace("{id}", "web")
                .replace("{sessionId}", "web-1");
        } else if let Some(method) = line.strip_prefix("    ").and_then(|rest| rest.strip_suffix(':'))
            && matches!(method, "get" | "post" | "put" | "patch" | "delete")
        {
            found.push((method.to_uppercase(), path.clone()));
        }
    }
    for (method, path) in [
        ("GET", "/api/v1/openapi.yaml"),
        ("GET", "/nothing/here"),
        ("GET", "/"),
    ] {
        found.push((method.to_owned(), path.to_owned()));
    }
    for control in ["/healthz", "/readyz", "/shutdown"] {
        assert!(
            found.iter().any(|(_, path)| path == control),
            "{control} is not in the page"
        );
    }
    assert!(found.len() >= 18, "{found:?}");
    found
}

fn status(world: &World, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> u16 {
    let answer = world
        .http()
        .raw(method, path, headers, body)
        .expect("a refusal is an answer");
    if answer.status >= 400 {
        let envelope = answer.json();
        for key in ["error", "code", "message"] {
            assert!(
                envelope[key].is_string(),
                "{method} {path} {headers:?}: {envelope}"
            );
        }
    }
    answer.status
}

#[test]
fn no_web_page_comes_in_by_any_route() {
    let world = World::started(AO);
    let own = format!("127.0.0.1:{}", world.port());
    let named = format!("localhost:{}", world.port());
    let other_port = format!("http://localhost:{}", world.port() ^ 1);
    let rebound = format!("evil.example:{}", world.port());
    let bare_rebound = "evil.example";
    let no_port = "127.0.0.1";
    let other_name = format!("127.0.0.1.evil.example:{}", world.port());
    let own_origin = format!("http://{own}");
    let json = ("Content-Type", "application/json");
    for (method, path) in routes(&world) {
        let what = format!("{method} {path}");
        for host in [rebound.as_str(), bare_rebound, no_port, &other_name] {
            assert_eq!(
                status(&world, &method, &path, &[("Host", host), json], b"{}"),
                403,
                "{what} as {host}"
            );
        }
        for origin in [
            "http://evil.example",
            "null",
            &other_port,
            "https://127.0.0.1",
            "file://",
            "",
        ] {
            let headers = [("Host", own.as_str()), ("Origin", origin), json];
            assert_eq!(
                status(&world, &method, &path, &headers, b"{}"),
                403,
                "{what} from {origin}"
            );
        }
        for site in ["cross-site", "same-site"] {
            let headers = [("Host", named.as_str()), ("Sec-Fetch-Site", site), json];
            assert_eq!(
                status(&world, &method, &path, &headers, b"{}"),
                403,
                "{what} {site}"
            );
        }
        // A page of our own origin has to have been handed the token.
        let headers = [
            ("Host", own.as_str()),
            ("Origin", own_origin.as_str()),
            ("Sec-Fetch-Site", "same-origin"),
            json,
        ];
        assert_eq!(
            status(&world, &method, &path, &headers, b"{}"),
            401,
            "{what} without the token"
        );
        if method == "GET" {
            continue;
        }
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/jsonx",
        ] {
            let headers = [("Host", own.as_str()), ("Content-Type", kind)];
            assert_eq!(
                status(&world, &method, &path, &headers, b"{}"),
                415,
                "{what} as {kind}"
            );
        }
    }
    assert_eq!(
        world.get("/healthz")["pid"],
        world.pid(),
        "none of it stopped the daemon"
    );
    assert!(
        world.get("/api/v1/sessions")["sessions"]
            .as_array()
            .unwrap()
            .is_empty(),
        "none of it spawned anything"
    );
    assert_eq!(
        world.get("/api/v1/projects")["projects"]
            .as_array()
            .unwrap()
            .len(),
        1,
        "none of it removed anything"
    );
}

fn curl(world: &World, arguments: &[&str]) -> (i32, Value) {
    let output = world
        .command("curl", &["-sS", "--max-time", "20"])
        .args(arguments)
        .stderr(Stdio::inherit())
        .output();
    let output = output.expect("curl is installed");
    (
        output.status.code().unwrap_or(-1),
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
    )
}

#[test]
fn plain_curl_of_the_same_user_works_by_both_names() {
    let world = World::started(AO);
    for name in ["127.0.0.1", "localhost"] {
        let base = format!("http://{name}:{}", world.port());
        let (code, health) = curl(&world, &[&format!("{base}/healthz")]);
        assert_eq!(
            (code, &health["service"]),
            (0, &Value::from("agent-orchestrator-daemon")),
            "{health}"
        );
        let (_, ready) = curl(&world, &[&format!("{base}/readyz")]);
        assert_eq!(ready["status"], "ready");
        let body = r#"{"projectId":"web","harness":"shell","command":["sleep","1000"]}"#;
        let sessions = format!("{base}/api/v1/sessions");
        let (code, spawned) = curl(
            &world,
            &["-H", "Content-Type: application/json", "-d", body, &sessions],
        );
        assert_eq!(
            (code, &spawned["session"]["status"]),
            (0, &Value::from("working")),
            "{spawned}"
        );
        let kill = format!("{sessions}/{}/kill", spawned["session"]["id"].as_str().unwrap());
        let (code, killed) = curl(&world, &["-X", "POST", &kill]);
        assert_eq!((code, &killed["freed"]), (0, &Value::from(true)), "{killed}");
    }
}

#[test]
fn a_second_user_of_the_machine_is_refused_on_every_route() {
    let world = World::started(AO);
    if !rustix::process::getuid().is_root() {
        // Only root can be somebody else; nothing less would show it.
        not_tested(
            "a_second_user_of_the_machine_is_refused_on_every_route",
            "only root can ask as a second user",
        );
        return;
    }
    for (method, path) in routes(&world) {
        let url = format!("http://127.0.0.1:{}{path}", world.port());
        let as_nobody = [
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "curl",
            "-sS",
            "--max-time",
            "20",
            "-X",
            &method,
        ];
        let mut command = world.command("setpriv", &as_nobody);
        command
            .args(["-o", "/dev/null", "-w", "%{http_code}"])
            .current_dir("/");
        if method != "GET" {
            command.args(["-H", "Content-Type: application/json", "-d", "{}"]);
        }
        let output = command.arg(&url).output().expect("setpriv is installed");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "403",
            "{method} {path}: {output:?}"
        );
    }
    assert_eq!(world.get("/healthz")["pid"], world.pid());
}

/// The CLI looks whose server it is before it says anything: a stranger's hears not a byte.
#[test]
fn the_cli_sends_nothing_to_a_server_of_another_user() {
    let mut world = World::started(AO);
    if !rustix::process::getuid().is_root() {
        not_tested(
            "the_cli_sends_nothing_to_a_server_of_another_user",
            "only root can listen as a second user",
        );
        return;
    }
    let run_file = world.dir.join("running.json");
    let run: Value = serde_json::from_str(&std::fs::read_to_string(&run_file).unwrap()).unwrap();
    let heard = world.dir.join("heard");
    std::fs::write(&heard, "").unwrap();
    // The stranger takes the port on which the run file says that we are; the process in it is alive: this test's.
    let script = "use IO::Socket::INET; $|=1; my $s=IO::Socket::INET->new(LocalAddr=>'127.0.0.1',Listen=>1) or die; print $s->sockport.\"\\n\"; \
                  my $c=$s->accept; my $n=sysread($c,my $b,1000); print +($n//0).\"\\n\";";
    let mut stranger = world
        .command(
            "setpriv",
            &[
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "perl",
                "-e",
                script,
            ],
        )
        .current_dir("/")
        .stdout(Stdio::piped())
        .spawn()
        .expect("setpriv and perl are installed");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stranger.stdout.take().unwrap()));
    let port: u16 = lines.next().unwrap().unwrap().parse().unwrap();
    let mut forged = run.clone();
    forged["port"] = Value::from(port);
    std::fs::write(&run_file, forged.to_string()).unwrap();
    let said = world.ao(&["session", "ls"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.err.contains("65534") && said.err.contains("nothing was sent"),
        "{said:?}"
    );
    assert_eq!(
        lines.next().unwrap().unwrap(),
        "0",
        "the stranger heard something"
    );
    stranger.wait().unwrap();
    std::fs::write(&run_file, run.to_string()).unwrap();
    world.kill_9();
}

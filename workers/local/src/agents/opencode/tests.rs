use super::super::checkup::tests::{found, logs_in};
use super::*;

#[test]
fn what_logs_it_in_is_found_and_what_does_not_read_is_told() {
    let look = SHEET.checkup.unwrap().own_files;
    assert_eq!(found(look, &[], &[]), [("trust", true), ("login", false)]);
    let auth = |text| [(".local/share/opencode/auth.json", text)];
    for (text, is_one) in [
        (r#"{"anthropic": {"type": "api", "key": "k"}}"#, true),
        ("{}", false),
        ("{", false),
    ] {
        assert_eq!(logs_in(look, &auth(text), &[]), is_one, "{text}");
    }
    for name in ["opencode.json", "opencode.jsonc"] {
        let file = format!(".config/opencode/{name}");
        for (text, is_one) in [
            (r#"{"provider": {"mine": {"npm": "x"}}} // mine"#, true),
            (r#"{"provider": {}}"#, false),
            (r#"{"instructions": ["the \"provider\" is mine"]}"#, false),
            (r#"{/* "provider": {"mine": {"npm": "x"}} */}"#, false),
        ] {
            assert_eq!(logs_in(look, &[(&file, text)], &[]), is_one, "{text}");
        }
        let broken = found(look, &[(&file, "{ not json")], &[]);
        assert_eq!(broken, [("trust", true), ("settings", false), ("login", false)]);
    }
    for variable in ["ANTHROPIC_API_KEY", "OPENAI_API_KEY"] {
        assert!(logs_in(look, &[], &[variable]), "{variable}");
    }
    assert_eq!(look(&[])[0].what, "home");
}

/// It says that it is idle with the error, and once more when the turn is over. In between it takes what it is asked, and does nothing.
#[test]
fn a_turn_that_an_error_ended_is_over_when_it_says_so_again() {
    const DRIVER: &str = r#"
import { ao } from "./plugin.mjs";
const { event } = await ao();
const session = { sessionID: "s" };
const idle = () => event({ event: { type: "session.status", properties: { ...session, status: { type: "idle" } } } });
const failed = (message) =>
  event({ event: { type: "session.error", properties: { ...session, error: { name: "APIError", data: { message } } } } });
let count = 0;
for (const step of process.argv[2].split(" ")) {
  if (step === "idle") await idle();
  if (step === "failed") await failed(String((count += 1)));
  if (step === "late") await new Promise((done) => setTimeout(done, 60));
}
"#;
    let told = |steps: &str| {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let hook = folder.path().join("ao");
        let script = format!(
            "#!/bin/sh\nprintf '%s ' \"$3\" >> {0}; cat >> {0}; echo >> {0}\n",
            log.display()
        );
        std::fs::write(&hook, script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&hook, mode).unwrap();
        let plugin = PLUGIN
            .replace("@AO@", hook.to_str().unwrap())
            .replace("const LATE = 5_000;", "const LATE = 30;");
        std::fs::write(folder.path().join("plugin.mjs"), plugin).unwrap();
        std::fs::write(folder.path().join("driver.mjs"), DRIVER).unwrap();
        #[expect(clippy::disallowed_methods, reason = "what opencode would run is run")]
        let ran = std::process::Command::new("node")
            .arg(folder.path().join("driver.mjs"))
            .arg(steps)
            .env("AO_SESSION_ID", "web-1")
            .output()
            .unwrap();
        assert!(ran.status.success(), "{ran:?}");
        std::fs::read_to_string(log).unwrap_or_default()
    };
    let first = "error {\"session_id\":\"s\",\"error\":\"APIError\",\"said\":\"1\"}\n";
    assert_eq!(told("failed idle idle"), first);
    assert_eq!(
        told("failed idle idle idle"),
        format!("{first}idle {{\"session_id\":\"s\",\"message\":\"\"}}\n")
    );
    // Where it says so once, a while after that.
    assert_eq!(told("failed idle late"), first);
    assert_eq!(
        told("failed idle failed idle idle"),
        format!(
            "{}idle {{\"session_id\":\"s\",\"message\":\"\"}}\n",
            first.replace('1', "2")
        )
    );
    // The last one is what it ended with.
    assert_eq!(told("failed idle failed idle"), first.replace('1', "2"));
    assert_eq!(told("idle"), "idle {\"session_id\":\"s\",\"message\":\"\"}\n");
}

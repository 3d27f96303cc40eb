use super::super::checkup::tests::{found, logs_in};
use super::*;

#[test]
fn what_logs_it_in_is_found_and_what_does_not_read_is_told() {
    let look = SHEET.checkup.unwrap().own_files;
    let well = [("hooks", true), ("trust", true), ("login", false)];
    assert_eq!(found(look, &[], &[]), well);
    let provider = |line: &str| format!("[providers.mine]\ntype = \"kimi\"\n{line}\n");
    for (text, variables, is_one) in [
        (provider("api_key = \"k\""), vec![], true),
        (provider("api_key = \"\""), vec![], false),
        (provider("# api_key = \"k\""), vec![], false),
        (provider("api_key_env = \"MINE\""), vec!["MINE"], true),
        (provider("api_key_env = \"MINE\""), vec![], false),
        ("[services.search]\napi_key = \"k\"\n".to_owned(), vec![], false),
    ] {
        let files = [(".kimi-code/config.toml", text.as_str())];
        assert_eq!(logs_in(look, &files, &variables), is_one, "{text}");
    }
    assert!(logs_in(look, &[], &["KIMI_MODEL_NAME", "KIMI_MODEL_API_KEY"]));
    assert!(
        !logs_in(look, &[], &["KIMI_MODEL_API_KEY"]),
        "it looks for a model's name first"
    );
    assert!(logs_in(
        look,
        &[(".kimi-code/credentials/kimi-code.json", "{}")],
        &[]
    ));
    let of_a_server = (".kimi-code/credentials/mcp/x.json", "{}");
    assert!(!logs_in(look, &[of_a_server], &[]));
    let config = found(look, &[(".kimi-code/config.toml", "= 3")], &[]);
    assert_eq!(config[0], ("hooks", false));
    let trust = found(look, &[(".kimi-code/workspace-trust", "a file")], &[]);
    assert_eq!(trust[1], ("trust", false));
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".kimi-code/workspace-trust");
    std::fs::create_dir_all(&folder).unwrap();
    let env = [("HOME".to_owned(), home.path().to_str().unwrap().to_owned())];
    let is_well = |mode| {
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        look(&env)[1].remedy.is_none()
    };
    assert!(!is_well(0o500) && is_well(0o700));
    assert_eq!(look(&[])[0].what, "home");
}

/// As the program itself writes them (`slugifyWorkDirName`).
#[test]
fn a_folder_s_name_is_written_as_it_writes_it() {
    for (name, slug_of_it) in [
        ("web-1", "web-1"),
        ("Web_App-12", "web_app-12"),
        ("a-  b", "a--b"),
        ("--x--", "x"),
        ("\u{e4}", "workspace"),
        ("..", "workspace"),
        (
            "a-very-long-name-of-a-project-that-is-cut-1",
            "a-very-long-name-of-a-project-that-is-cu",
        ),
        (
            "a-very-long-name-of-a-project-that-is-c-1",
            "a-very-long-name-of-a-project-that-is-c",
        ),
    ] {
        let file = trust_file("/home/me/.kimi-code".into(), &Utf8Path::new("/w").join(name));
        let name_of_it = file.file_name().unwrap();
        let hash = name_of_it.rsplit('_').next().unwrap();
        assert_eq!(name_of_it, format!("wd_{slug_of_it}_{hash}"), "{name}");
    }
}

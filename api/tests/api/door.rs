//! The whole door, over every route there is and over what is no route.

use std::io;

use crate::support::{Options, TOKEN, World, request};

/// Every method and path that the served document has, with its parameters filled in, then the document
/// itself and a path that is nowhere.
async fn every_route(world: &World) -> Vec<(String, String)> {
    let document = world.get("/api/v1/openapi.yaml").await;
    assert_eq!(document.status, 200);
    let mut routes = documented(&document.body);
    assert!(routes.len() >= 16, "{routes:?}");
    routes.push(("GET".to_owned(), "/api/v1/openapi.yaml".to_owned()));
    routes.push(("GET".to_owned(), "/nowhere".to_owned()));
    routes.push(("POST".to_owned(), "/api/v1/nowhere".to_owned()));
    routes.push(("DELETE".to_owned(), "/healthz".to_owned()));
    routes
}

/// The operations of an OpenAPI document in YAML: its paths stand two columns in, their methods four.
pub(crate) fn documented(yaml: &str) -> Vec<(String, String)> {
    let paths = yaml
        .split("\npaths:\n")
        .nth(1)
        .unwrap()
        .split("\ncomponents:\n")
        .next()
        .unwrap();
    let (mut routes, mut path) = (Vec::new(), String::new());
    for line in paths.lines() {
        let text = line.trim_start();
        match line.len() - text.len() {
            2 => {
                let named = text.trim_end_matches(':').replace("{id}", "web");
                path = named.replace("{sessionId}", "web-1");
            }
            4 => routes.push((text.trim_end_matches(':').to_uppercase(), path.clone())),
            _ => {}
        }
    }
    routes
}

fn is_write(method: &str) -> bool {
    !matches!(method, "GET" | "HEAD")
}

#[tokio::test]
async fn strangers_and_other_pages_are_refused_on_every_route() {
    let world = World::start().await;
    world.project("web").await;
    let before = (world.head().await, world.root.tree().snapshot().root.incarnation);
    let port = world.port;
    let other = port ^ 1;
    let hosts = [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        "127.0.0.1".to_owned(),
        "localhost".to_owned(),
        format!("127.0.0.1:{other}"),
        format!("localhost:{other}"),
        format!("127.0.0.1.evil.example:{port}"),
        format!("localhost.:{port}"),
        format!("[::1]:{port}"),
        format!("0.0.0.0:{port}"),
        format!("127.1:{port}"),
        format!("x@127.0.0.1:{port}"),
        String::new(),
    ];
    let origins = [
        "https://evil.example".to_owned(),
        format!("http://evil.example:{port}"),
        "http://localhost:3000".to_owned(),
        format!("http://127.0.0.1:{other}"),
        "http://localhost".to_owned(),
        format!("https://localhost:{port}"),
        format!("http://localhost:{port}.evil.example"),
        format!("http://localhost:{port}/"),
        "null".to_owned(),
        "file://".to_owned(),
        "app://renderer".to_owned(),
        String::new(),
    ];
    let token = format!("Bearer {TOKEN}");
    for (method, path) in every_route(&world).await {
        let base = || request(&method, &path).header("authorization", &token);
        for host in &hosts {
            let answer = base().without("host").header("host", host).send(port).await;
            assert_eq!(
                answer.refused(),
                (403, "HOST_FORBIDDEN".to_owned()),
                "{method} {path} {host:?}"
            );
        }
        let nameless = base().without("host").send(port).await;
        assert_eq!(
            nameless.refused(),
            (403, "HOST_FORBIDDEN".to_owned()),
            "{method} {path}"
        );
        let doubled = base().header("host", "evil.example").send(port).await;
        assert_eq!(
            doubled.refused(),
            (403, "HOST_FORBIDDEN".to_owned()),
            "{method} {path}"
        );
        let absolute =
            request(&method, &format!("http://evil.example{path}")).header("authorization", &token);
        assert_eq!(
            absolute.send(port).await.refused(),
            (403, "HOST_FORBIDDEN".to_owned()),
            "{method} {path}"
        );
        for origin in &origins {
            let answer = base().header("origin", origin).send(port).await;
            assert_eq!(
                answer.refused(),
                (403, "ORIGIN_FORBIDDEN".to_owned()),
                "{method} {path} {origin:?}"
            );
        }
        let doubled = base()
            .header("origin", "http://127.0.0.1:PORT")
            .header("origin", "null")
            .send(port)
            .await;
        assert_eq!(
            doubled.refused(),
            (403, "ORIGIN_FORBIDDEN".to_owned()),
            "{method} {path}"
        );
        for site in ["cross-site", "same-site", "none, cross-site", "what"] {
            let answer = base().header("sec-fetch-site", site).send(port).await;
            assert_eq!(
                answer.refused(),
                (403, "CROSS_SITE_FORBIDDEN".to_owned()),
                "{method} {path} {site}"
            );
        }
        // A browser without the token, and a caller with that of another daemon.
        for (name, value) in [
            ("origin", "http://localhost:PORT"),
            ("sec-fetch-site", "none"),
            ("sec-fetch-mode", "navigate"),
            ("authorization", "Bearer ffffffffffffffffffffffffffffffff"),
            ("authorization", "Basic eDp5"),
        ] {
            let answer = request(&method, &path).header(name, value).send(port).await;
            assert_eq!(
                answer.refused(),
                (401, "TOKEN_REQUIRED".to_owned()),
                "{method} {path} {name} {value}"
            );
        }
        if is_write(&method) {
            for kind in [
                "text/plain",
                "application/x-www-form-urlencoded",
                "multipart/form-data; boundary=x",
                "text/json",
            ] {
                for request in [
                    base().header("content-type", kind),
                    base().header("content-type", kind).body("{}"),
                ] {
                    let answer = request.send(port).await;
                    assert_eq!(
                        answer.refused(),
                        (415, "JSON_REQUIRED".to_owned()),
                        "{method} {path} {kind}"
                    );
                }
            }
            let untyped = base().body("{}").send(port).await;
            assert_eq!(
                untyped.refused(),
                (415, "JSON_REQUIRED".to_owned()),
                "{method} {path}"
            );
        }
        let huge = base()
            .header("content-type", "application/json")
            .header("content-length", "1048577");
        assert_eq!(
            huge.send(port).await.refused(),
            (413, "BODY_TOO_LARGE".to_owned()),
            "{method} {path}"
        );
    }
    assert_eq!(
        (world.head().await, world.root.tree().snapshot().root.incarnation),
        before
    );
    assert!(!world.stage.is_stopping(), "nobody's shutdown was heard");
    assert!(world.spool.records.lock().unwrap().is_empty());
}

#[tokio::test]
async fn plain_curl_by_the_same_user_works_under_both_names() {
    let world = World::start().await;
    for host in ["127.0.0.1:PORT", "localhost:PORT", "LocalHost:PORT"] {
        let call = |method, path| request(method, path).without("host").header("host", host);
        assert_eq!(
            call("GET", "/healthz").send(world.port).await.status,
            200,
            "{host}"
        );
        assert_eq!(
            call("GET", "/api/v1/sessions").send(world.port).await.status,
            200,
            "{host}"
        );
        let killed = call("POST", "/api/v1/sessions/web-1/kill").send(world.port).await;
        assert_eq!(
            killed.refused(),
            (404, "SESSION_NOT_FOUND".to_owned()),
            "{host}: no body, no content type"
        );
    }
    let added = request("POST", "/api/v1/projects")
        .json(r#"{"path":"/repos/web"}"#)
        .send(world.port)
        .await;
    assert_eq!(added.status, 201, "{added:?}");
}

#[tokio::test]
async fn a_page_of_our_own_comes_in_with_the_token_and_only_with_it() {
    let world = World::start().await;
    let page = |name: &str, value: &str| {
        request("GET", "/api/v1/sessions")
            .header("origin", "http://127.0.0.1:PORT")
            .header("sec-fetch-site", "same-origin")
            .header(name, value)
    };
    for (name, value, status) in [
        ("authorization", format!("Bearer {TOKEN}"), 200),
        ("authorization", format!("bearer {TOKEN}"), 200),
        ("cookie", format!("a=b; ao_token={TOKEN}"), 200),
        (
            "cookie",
            "ao_token=ffffffffffffffffffffffffffffffff".to_owned(),
            401,
        ),
        ("cookie", "ao_token=".to_owned(), 401),
        ("x-token", TOKEN.to_owned(), 401),
    ] {
        let answer = page(name, &value).send(world.port).await;
        assert_eq!(answer.status, status, "{name}: {value}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn another_user_is_refused_on_every_route_whatever_they_know() {
    let world = World::with(Options {
        uid_of: |_, _| Ok(Some(12_345)),
        ..Options::default()
    })
    .await;
    let own = World::start().await;
    let token = format!("Bearer {TOKEN}");
    for (method, path) in every_route(&own).await {
        for request in [
            request(&method, &path),
            request(&method, &path).header("authorization", &token),
        ] {
            let answer = request.send(world.port).await;
            assert_eq!(
                answer.refused(),
                (403, "FOREIGN_USER".to_owned()),
                "{method} {path}"
            );
        }
    }
    assert!(!world.stage.is_stopping());
}

#[tokio::test]
async fn who_cannot_be_told_needs_the_token() {
    let uncertain: [fn(_, _) -> io::Result<Option<u32>>; 2] = [
        |_, _| Ok(None),
        |_, _| Err(io::ErrorKind::PermissionDenied.into()),
    ];
    for uid_of in uncertain {
        let world = World::with(Options {
            uid_of,
            ..Options::default()
        })
        .await;
        for path in ["/healthz", "/api/v1/sessions", "/nowhere"] {
            let answer = request("GET", path).send(world.port).await;
            assert_eq!(answer.refused(), (401, "TOKEN_REQUIRED".to_owned()), "{path}");
        }
        let answer = request("GET", "/healthz").header("authorization", &format!("Bearer {TOKEN}"));
        assert_eq!(answer.send(world.port).await.status, 200);
    }
}

#[tokio::test]
async fn every_route_is_in_the_document_and_the_reverse() {
    let world = World::start().await;
    let routes = documented(&world.get("/api/v1/openapi.yaml").await.body);
    let mut paths: Vec<&String> = routes.iter().map(|(_, path)| path).collect();
    paths.dedup();
    for path in paths {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let known = routes
                .iter()
                .any(|(other, at)| (other, at) == (&method.to_owned(), path));
            if known && path == "/api/v1/events" {
                continue; // it never ends; what it answers is tested where events are
            }
            // A body that no route takes: a documented write is found, and refuses it.
            let answer = if is_write(method) {
                request(method, path).json("[").send(world.port).await
            } else {
                request(method, path).send(world.port).await
            };
            let code = if answer.status >= 400 {
                answer.refusal().code
            } else {
                String::new()
            };
            assert_eq!(
                code == "METHOD_NOT_ALLOWED",
                !known,
                "{method} {path}: {answer:?}"
            );
            assert_ne!(code, "ROUTE_NOT_FOUND", "{method} {path}");
            if !known {
                let allowed = answer.header("allow").unwrap();
                let documented = routes
                    .iter()
                    .filter(|(_, at)| at == path)
                    .map(|(method, _)| method);
                assert!(
                    documented.clone().all(|method| allowed.contains(method.as_str())),
                    "{path}: {allowed}"
                );
            }
            if path == "/shutdown" && known {
                assert!(world.stage.is_stopping());
            }
        }
    }
    // A route that is mounted without being documented would have to be named like this.
    let mounted = include_str!("../../src/routes/mod.rs");
    assert_eq!(
        mounted.matches(".route(").count(),
        1,
        "only the document itself is not documented"
    );
}

#[tokio::test]
async fn trouble_can_be_ordered_only_where_that_was_asked_for() {
    let world = World::with(Options {
        chaos: false,
        ..Options::default()
    })
    .await;
    for path in ["/api/v1/tree/crash", "/api/v1/tree/hang", "/api/v1/tree/spin"] {
        let answer = world.post(path, r#"{"path":"ao/feed"}"#).await;
        assert_eq!(answer.refused(), (404, "ROUTE_NOT_FOUND".to_owned()));
    }
}

#[tokio::test]
async fn an_agent_inside_a_session_may_read_and_little_else() {
    use ao_domain::SessionKind::{Orchestrator, Worker};
    let world = World::start().await;
    let web = world.project("web").await;
    let worker = world.session(&web, Worker).await;
    let orchestrator = world.session(&web, Orchestrator).await;
    let spawn = r#"{"projectId":"web","command":["true"]}"#;
    let forbidden = (403, "INSIDE_SESSION".to_owned());
    let inside = |method: &str, path: &str, body: &str, id: &str| {
        let request = request(method, path)
            .header("ao-session", id)
            .header("prefer", "respond-async");
        if body.is_empty() {
            request
        } else {
            request.json(body)
        }
    };
    for id in [worker.as_str(), "web-99", "nonsense", ""] {
        for (method, path, body) in [
            ("POST", "/api/v1/sessions", spawn),
            ("POST", "/api/v1/sessions/web-1/kill", ""),
            ("POST", "/api/v1/projects", r#"{"path":"/repos/x"}"#),
            ("DELETE", "/api/v1/projects/web", ""),
            ("POST", "/api/v1/tree/resume", r#"{"path":"ao/feed"}"#),
            ("POST", "/api/v1/sessions/web-2/activity", r#"{"state":"idle"}"#),
            ("POST", "/shutdown", ""),
        ] {
            let answer = inside(method, path, body, id).send(world.port).await;
            assert_eq!(answer.refused(), forbidden, "{method} {path} from {id:?}");
        }
        let read = inside("GET", "/api/v1/sessions", "", id).send(world.port).await;
        assert_eq!(read.status, 200);
    }
    let own = inside(
        "POST",
        "/api/v1/sessions/web-1/activity",
        r#"{"state":"idle"}"#,
        worker.as_str(),
    );
    assert_eq!(own.send(world.port).await.status, 200, "its own activity");
    let id = orchestrator.as_str();
    let spawned = inside("POST", "/api/v1/sessions", spawn, id)
        .send(world.port)
        .await;
    assert_eq!(spawned.status, 202, "{spawned:?}");
    let removed = inside("DELETE", "/api/v1/projects/web", "", id)
        .send(world.port)
        .await;
    assert_eq!(removed.refused(), forbidden);
}

//! The routes, one file per resource, and the document that is generated from them.

mod agents;
mod claims;
mod cleanup;
mod control;
mod events;
mod gateways;
mod leftovers;
mod messages;
mod notices;
mod orchestrators;
mod projects;
mod prs;
mod restore;
mod sessions;
mod spawn;
mod tree;

use axum::routing::get;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;

/// The document as it is served and committed; a test compares it with what the routes say.
const DOCUMENT: &str = include_str!("../../openapi.yaml");

/// Where it is served: the only route that is not in it.
const DOCUMENT_PATH: &str = "/api/v1/openapi.yaml";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "ao",
        description = "Supervises coding agents. Every answer that is not a success is an `ErrorBody`; besides those listed \
                       with a route, any route may answer 401 `TOKEN_REQUIRED`, 403 `FOREIGN_USER`, `HOST_FORBIDDEN`, \
                       `ORIGIN_FORBIDDEN`, `CROSS_SITE_FORBIDDEN` or `INSIDE_SESSION`, 405 `METHOD_NOT_ALLOWED`, 413 \
                       `BODY_TOO_LARGE`, 415 `JSON_REQUIRED`, 500 `INTERNAL_ERROR` or `DATABASE_UNUSABLE`, 503 `STOPPING` or `DATABASE_BUSY` and \
                       507 `DISK_FULL`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    servers((url = "/", description = "127.0.0.1 or localhost, at the daemon's port")),
    tags(
        (name = "control", description = "Whether a daemon is there"),
        (name = "projects", description = "Registered repositories"),
        (name = "sessions", description = "Agents at work"),
        (name = "orchestrators", description = "Agents that coordinate a project's others"),
        (name = "agents", description = "The agents there are to work with"),
        (name = "messages", description = "What is said to agents, and whether it arrived"),
        (name = "prs", description = "Pull requests of sessions, and the forges they are read from"),
        (name = "events", description = "What changes"),
        (name = "tree", description = "The supervision tree"),
    )
)]
struct Document;

/// Every route there is; those that make trouble only with `chaos`.
pub(crate) fn all(chaos: bool) -> OpenApiRouter<Api> {
    let router = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(control::healthz))
        .routes(routes!(control::readyz))
        .routes(routes!(control::shutdown))
        .routes(routes!(projects::list, projects::add))
        .routes(routes!(projects::get, projects::remove))
        .routes(routes!(projects::configure))
        .routes(routes!(projects::relocate))
        .routes(routes!(leftovers::list))
        .routes(routes!(sessions::list, spawn::spawn))
        .routes(routes!(sessions::get, restore::rename))
        .routes(routes!(sessions::kill))
        .routes(routes!(cleanup::cleanup))
        .routes(routes!(cleanup::rollback))
        .routes(routes!(orchestrators::list, orchestrators::start))
        .routes(routes!(orchestrators::get))
        .routes(routes!(restore::restore))
        .routes(routes!(sessions::activity))
        .routes(routes!(messages::send))
        .routes(routes!(messages::answer))
        .routes(routes!(messages::list))
        .routes(routes!(messages::get, messages::withdraw))
        .routes(routes!(prs::list))
        .routes(routes!(prs::get))
        .routes(routes!(prs::of_session))
        .routes(routes!(claims::claim))
        .routes(routes!(gateways::list))
        .routes(routes!(agents::list))
        .routes(routes!(agents::get))
        .routes(routes!(notices::list))
        .routes(routes!(events::events))
        .routes(routes!(tree::show))
        .routes(routes!(tree::resume))
        .routes(routes!(tree::restart))
        .routes(routes!(tree::park))
        .route(DOCUMENT_PATH, get(control::document));
    if chaos {
        router
            .routes(routes!(tree::crash))
            .routes(routes!(tree::hang))
            .routes(routes!(tree::spin))
    } else {
        router
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_is_what_the_routes_say() {
        let document = all(true).into_openapi().to_yaml().expect("the document is YAML");
        expect_test::expect_file!["../../openapi.yaml"].assert_eq(&document);
    }
}

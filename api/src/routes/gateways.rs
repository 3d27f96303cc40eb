//! Hosts of forges that are spoken to now, as they were when they answered last: none is asked by this.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::Api;
use crate::error::{ApiError, json};
use crate::wire::{Gateway, GatewayList};

/// The hosts that pull requests are read from: whether they take our token, and what is left of their budgets.
#[utoipa::path(
    get, path = "/api/v1/gateways", operation_id = "listGateways", tag = "prs",
    responses((status = 200, description = "The hosts where something is watched now", body = GatewayList))
)]
pub(super) async fn list(State(api): State<Api>) -> Result<Response, ApiError> {
    let now = api.clock.now();
    let watched = api
        .reader
        .watched_hosts(|remote| (api.repository_of)(remote), now)
        .await?;
    // What is known of the others is kept: their budgets and waits hold on when something there is watched again.
    let gateways = api.reader.gateways().await?.into_iter();
    let gateways = gateways.filter(|gateway| watched.contains(&gateway.host));
    json(
        StatusCode::OK,
        &GatewayList {
            gateways: gateways.map(|gateway| Gateway::new(gateway, now)).collect(),
        },
    )
}

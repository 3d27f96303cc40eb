//! Hosts of forges, as they were when they answered last: none is asked by this.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::Api;
use crate::error::{ApiError, json};
use crate::wire::{Gateway, GatewayList};

/// The hosts that pull requests are read from: whether they take our token, and what is left of their budgets.
#[utoipa::path(
    get, path = "/api/v1/gateways", operation_id = "listGateways", tag = "prs",
    responses((status = 200, description = "Every host that was ever spoken to", body = GatewayList))
)]
pub(super) async fn list(State(api): State<Api>) -> Result<Response, ApiError> {
    let now = api.clock.now();
    let gateways = api.reader.gateways().await?.into_iter();
    json(
        StatusCode::OK,
        &GatewayList {
            gateways: gateways.map(|gateway| Gateway::new(gateway, now)).collect(),
        },
    )
}

//! Why the gate refused, and what it would do.

use std::net::IpAddr;

use hallpass_core::wire::explanations::{Explanation, Refusal};

use crate::client::Client;
use crate::error::Error;
use crate::transport::Call;

/// A request as it would come to the gate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExplainRequest {
    /// The host.
    pub host: String,
    /// The path; `/`, if nothing is said.
    pub path: Option<String>,
    /// The client ID that it presents, with the right secret; none, if nothing is said.
    pub client_id: Option<String>,
    /// The client's address.
    pub ip: Option<IpAddr>,
}

/// The explanations that an account is given; they need *Access: Apps and Policies Read* there. The original has none.
#[derive(Debug, Clone)]
pub struct Explanations {
    client: Client,
    path: String,
}

impl Explanations {
    pub(crate) fn new(client: Client, owner: &str) -> Self {
        Self { client, path: format!("{owner}/access/explanations") }
    }

    /// Why a request was refused, by the `Hallpass-Ref` of the refusal.
    pub async fn of_reference(&self, reference: &str) -> Result<Refusal, Error> {
        let query = vec![("reference", reference.to_owned())];
        self.client.one(Call::get(self.path.clone()).with_query(query)).await
    }

    /// What would happen to a request, policy by policy, rule by rule.
    pub async fn of_request(&self, request: &ExplainRequest) -> Result<Explanation, Error> {
        let mut query = vec![("host", request.host.clone())];
        query.extend(request.path.clone().map(|path| ("path", path)));
        query.extend(request.client_id.clone().map(|id| ("client_id", id)));
        query.extend(request.ip.map(|ip| ("ip", ip.to_string())));
        self.client.one(Call::get(self.path.clone()).with_query(query)).await
    }
}

//! Refreshes a service token: its expiry moves, its secret stays.
//!
//! `CLOUDFLARE_API_TOKEN=… cargo run -p hallpass-client --example refresh -- BASE_URL ACCOUNT_ID SERVICE_TOKEN_ID`

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "an example has no command line and no logs"
)]

use hallpass_client::{Client, Credentials};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [base_url, account, token] = arguments.as_slice() else {
        return Err("three arguments are needed: BASE_URL ACCOUNT_ID SERVICE_TOKEN_ID".into());
    };
    let credentials = Credentials::api_token(std::env::var("CLOUDFLARE_API_TOKEN")?);
    let client = Client::builder(base_url).credentials(credentials).build()?;
    let token = client.account(account.parse()?).service_tokens().refresh(token.parse()?).await?;
    println!("{} is good until {}", token.name, token.expires_at);
    Ok(())
}

//! The identifiers and credentials of the published example, which everybody knows.

use hallpass_core::secret::ClientSecret;

/// The account and the zone of the example.
pub const ACCOUNT_ID: &str = "023e105f4ecef8ad9ca31a8372d0c353";
/// The host name that issues the assertions of the account.
pub const AUTH_DOMAIN: &str = "test.cloudflareaccess.com";
/// The name of the zone.
pub const ZONE_NAME: &str = "example.com";
/// The user's address.
pub const EMAIL: &str = "user@example.com";
/// The user's global key.
pub const API_KEY: &str = "144c9defac04969c7bfad8efaa8ea194";
/// The user's API token.
pub const API_TOKEN: &str = "Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQqnFTOFYY";
/// The service token.
pub const SERVICE_TOKEN_ID: &str = "f174e90a-fafe-4643-bbbc-4a0ed4fc8415";
/// Its name.
pub const SERVICE_TOKEN_NAME: &str = "CI/CD token";
/// Its duration.
pub const DURATION: &str = "60m";
/// Its client ID.
pub const CLIENT_ID: &str = "88bf3b6d86161464f6509f7219099e57.access.example.com";
/// Its secret.
pub const CLIENT_SECRET: &str = "bdd31cbc4dec990953e39163fbbb194c93313ca9f0a6e420346af9d326b1d2a5";

/// The application at [`APP_DOMAIN`], which lets in every service token of the account.
pub const APP_ID: &str = "3b7d2c5e-8a41-4f06-9d1c-6e5f0a9b4c72";
/// The host that it protects.
pub const APP_DOMAIN: &str = "app.example.com";

/// Whether a secret is one of the example's.
pub fn is_published(secret: &ClientSecret) -> bool {
    [API_KEY, API_TOKEN, CLIENT_SECRET].contains(&secret.reveal())
}

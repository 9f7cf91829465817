//! `hallpass key`: the keys that sign the assertions of an account. The public ones are written by `hallpass certs`.

use clap::{Args, Subcommand};
use hallpass_core::time::Timestamp;
use hallpass_core::wire::keys::Keys;

use super::Failure;
use super::directory::AccountCall;
use super::table::{self, Cell, Tone};
use super::when::{dated, now};

/// Show and change how the signing keys of an account are rotated, and rotate them
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Key {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show when the signing keys were rotated, and when they will be
    #[command(after_help = "Example:\n  hallpass key get")]
    Get(AccountCall),
    /// Change how often the signing keys are rotated
    #[command(after_help = "Example:\n  hallpass key update --key-rotation-interval-days 30")]
    Update(Update),
    /// Rotate the signing keys now
    #[command(
        after_help = "Example:\n  hallpass key rotate\n\nWhat was signed before stays good: the key that signed it is published for another week, unless it is followed by more than 8 others. Wait some minutes before a second rotation: services have to have fetched the key that signs then."
    )]
    Rotate(AccountCall),
}

#[derive(Debug, Args)]
struct Update {
    /// The days from one rotation to the next: 21 to 365
    #[arg(long, value_name = "DAYS")]
    key_rotation_interval_days: u32,
    #[command(flatten)]
    call: AccountCall,
}

pub(super) async fn run(args: Key) -> Result<(), Failure> {
    let (call, keys) = match args.verb {
        Verb::Get(call) => {
            let (called, account) = call.call().await?;
            (call, called.ask(account.keys().get()).await?)
        }
        Verb::Update(Update { key_rotation_interval_days, call }) => {
            let (called, account) = call.call().await?;
            (call, called.ask(account.keys().set_interval(key_rotation_interval_days)).await?)
        }
        Verb::Rotate(call) => {
            let (called, account) = call.call().await?;
            (call, called.ask(account.keys().rotate()).await?)
        }
    };
    call.format.print(&keys, || details(&keys, now()))
}

fn details(keys: &Keys, now: Timestamp) -> String {
    let days = |count: u32| format!("{count} day{}", if count == 1 { "" } else { "s" });
    let next = match keys.last_key_rotation_at {
        Some(_) => format!("in {}", days(keys.days_until_next_rotation)),
        None => "once there are keys".to_owned(),
    };
    let none = || Cell::new("never: there are no keys yet", Tone::Dim);
    table::fields(&[
        ("rotated every", days(keys.key_rotation_interval_days).into()),
        ("last rotation", keys.last_key_rotation_at.map_or_else(none, |at| dated(at, now).into())),
        ("next rotation", next.into()),
    ])
}

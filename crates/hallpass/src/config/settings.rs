//! The table of settings: the one place where a setting is added. From a row come its key in the file, its variable, its flag, its
//! line in the help, its field in [`Config`], and the line that `docs/configuration.md` must have.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::read::{self, DatabaseUrl, Listen, RateLimit, any, list, one};
use super::{Problems, Values};
use crate::telemetry;

/// What is known of a setting before it has a value.
#[derive(Debug)]
pub struct Setting {
    /// Section and name, as in the file: `api.listen`.
    pub key: &'static str,
    /// The section of the file.
    pub section: &'static str,
    /// The name within the section.
    pub name: &'static str,
    /// The flag, without its dashes.
    pub flag: &'static str,
    /// The environment variable.
    pub variable: &'static str,
    /// What stands for the value in the help.
    pub value_name: &'static str,
    /// How it is written in the file.
    pub form: Form,
    /// What counts where nobody says anything, as it would be written for the flag; empty for nothing.
    pub default: &'static str,
    /// When a change counts.
    pub change: Change,
    /// What it is for, in one line.
    pub meaning: &'static str,
}

/// How a value is written in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A text. A flag or variable is always one.
    Text,
    /// A text that may hold a password, and is never shown.
    Secret,
    /// A whole number.
    Number,
    /// A whole number, or a word in its place.
    NumberOrText,
    /// `true` or `false`. The flag alone means `true`.
    Switch,
    /// A list of texts. The flag is repeated, or its values are separated by commas.
    List,
}

/// When a changed value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// When the server is told to reload, by SIGHUP.
    AtReload,
    /// When it is started again.
    AtStart,
}

macro_rules! settings {
    ($(
        #[doc = $section_doc:literal]
        $section:ident: $Section:ident {
            $(
                #[doc = $doc:literal]
                $name:ident: $type:ty = $read:expr,
                    $form:ident, $flag:literal $value_name:literal, $variable:literal, $default:expr, $change:ident;
            )+
        }
    )+) => {
        /// Every setting, in the order of the documentation.
        pub const SETTINGS: &[Setting] = &[$($(
            Setting {
                key: concat!(stringify!($section), ".", stringify!($name)),
                section: stringify!($section),
                name: stringify!($name),
                flag: $flag,
                variable: $variable,
                value_name: $value_name,
                form: Form::$form,
                default: $default,
                change: Change::$change,
                meaning: $doc.trim_ascii(),
            },
        )+)+];

        $(
            #[doc = $section_doc]
            #[derive(Debug, Clone)]
            pub struct $Section {
                $(
                    #[doc = $doc]
                    pub $name: $type,
                )+
            }

            impl $Section {
                /// Reads the section's values; `None` where one of them is a problem.
                pub(super) fn read(values: &Values, problems: &mut Problems) -> Option<Self> {
                    $(
                        let key = concat!(stringify!($section), ".", stringify!($name));
                        let $name: Option<$type> = values.read(key, $read, problems);
                    )+
                    Some(Self { $($name: $name?),+ })
                }
            }
        )+

        /// Every setting's value, checked.
        #[derive(Debug, Clone)]
        pub struct Config {
            $(
                #[doc = $section_doc]
                pub $section: $Section,
            )+
        }

        impl Config {
            /// Reads all values; `None` where one of them is a problem.
            pub(super) fn read(values: &Values, problems: &mut Problems) -> Option<Self> {
                $(let $section = $Section::read(values, problems);)+
                Some(Self { $($section: $section?),+ })
            }
        }
    };
}

// A row: name, type and how it is read; form, flag with the name of its value, variable, default, when a change counts.
settings! {
    /// Where the store is.
    store: StoreSettings {
        /// Directory of the embedded store
        data: PathBuf = one(read::path),
            Text, "data" "DIR", "HALLPASS_DATA", "hallpass-data", AtStart;
        /// PostgreSQL database instead of the embedded store, `postgres://user:password@host/name`; needs a server key file
        database: Option<DatabaseUrl> = any(read::database),
            Secret, "database" "URL", "HALLPASS_DATABASE", "", AtStart;
        /// File with the server key, 64 hex digits; the embedded store has its own beside it unless this is given
        server_key_file: Option<PathBuf> = any(read::path),
            Text, "server-key-file" "FILE", "HALLPASS_SERVER_KEY_FILE", "", AtStart;
    }
    /// The management API.
    api: ApiSettings {
        /// Address to listen on; port 0 picks a free one
        listen: SocketAddr = one(read::address),
            Text, "listen" "ADDR", "HALLPASS_LISTEN", "127.0.0.1:8484", AtStart;
        /// Listen beyond loopback without TLS, although credentials then cross the network in the clear
        insecure_http: bool = one(read::switch),
            Switch, "insecure-http" "true|false", "HALLPASS_INSECURE_HTTP", "false", AtStart;
        /// Requests per 5 minutes and credential, and failed attempts per client address; or `off`
        rate_limit: RateLimit = one(read::rate_limit),
            NumberOrText, "rate-limit" "N|off", "HALLPASS_RATE_LIMIT", "1200", AtReload;
        /// The most service tokens that an account may have; any number unless this is given
        service_token_quota: Option<u32> = any(read::number),
            Number, "service-token-quota" "N", "HALLPASS_SERVICE_TOKEN_QUOTA", "", AtReload;
        /// Addresses or networks of proxies whose X-Forwarded-For says who the client is (repeat, or separate by commas)
        trusted_peers: Vec<IpNet> = list(read::peer),
            List, "trusted-peer" "CIDR", "HALLPASS_TRUSTED_PEERS", "", AtReload;
        /// File that gets the addresses as JSON once the server answers
        ready_file: Option<PathBuf> = any(read::path),
            Text, "ready-file" "FILE", "HALLPASS_READY_FILE", "", AtStart;
    }
    /// TLS. With both files, the API is served over HTTPS alone.
    tls: TlsSettings {
        /// PEM file with the certificate, followed by those between it and the root; read anew when it changes
        certificate: Option<PathBuf> = any(read::path),
            Text, "tls-certificate" "FILE", "HALLPASS_TLS_CERTIFICATE", "", AtReload;
        /// PEM file with the certificate's private key; read anew when it changes
        key: Option<PathBuf> = any(read::path),
            Text, "tls-key" "FILE", "HALLPASS_TLS_KEY", "", AtReload;
    }
    /// The gate.
    gate: GateSettings {
        /// Address at which proxies ask the gate; port 0 picks a free one; or `off`
        listen: Listen = one(read::gate),
            Text, "gate" "ADDR|off", "HALLPASS_GATE", "127.0.0.1:8485", AtStart;
        /// How long the gate may go without hearing from the store before it refuses everything, from `1s` to `1h`
        max_staleness: Duration = one(read::staleness),
            Text, "gate-max-staleness" "TIME", "HALLPASS_GATE_MAX_STALENESS", "60s", AtReload;
        /// How long the access log is kept, from `1h` to `87600h`
        access_log_retention: Duration = one(read::retention),
            Text, "gate-log-retention" "TIME", "HALLPASS_GATE_ACCESS_LOG_RETENTION", "720h", AtStart;
        /// Addresses or networks of proxies that may ask the gate, in place of loopback (repeat, or separate by commas)
        trusted_peers: Vec<IpNet> = list(read::peer),
            List, "gate-trusted-peer" "CIDR", "HALLPASS_GATE_TRUSTED_PEERS", "", AtReload;
        /// Let everybody who reaches the gate ask it: only where nothing but your proxies can
        trust_everyone: bool = one(read::switch),
            Switch, "gate-trust-everyone" "BOOL", "HALLPASS_GATE_TRUST_EVERYONE", "false", AtReload;
    }
    /// The operator's listener.
    operator: OperatorSettings {
        /// Address for metrics and health, without credentials; or `off`
        listen: Listen = one(read::operator),
            Text, "operator" "ADDR|off", "HALLPASS_OPERATOR", "127.0.0.1:8487", AtStart;
    }
    /// Logs.
    log: LogSettings {
        /// What is logged on standard error: a level, or a list like `info,hallpass=debug`
        filter: String = one(read::log_filter),
            Text, "log" "FILTER", "HALLPASS_LOG", telemetry::DEFAULT_FILTER, AtReload;
    }
}

impl Setting {
    /// The setting with this key.
    pub fn find(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }
}
